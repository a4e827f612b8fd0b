package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	osa "opensciencearchive.org/example/build-output/gen/opensciencearchive/v1"
)

const (
	conventionID = "pdb-structures"
	chains       = "chains"
	chunkBytes   = 64 << 10
)

func newTraveller(address, structure, conventionFile string) (*traveller, error) {
	text, err := os.ReadFile(conventionFile)
	if err != nil {
		return nil, err
	}
	convention := &osa.Convention{}
	if err := protojson.Unmarshal(text, convention); err != nil {
		return nil, fmt.Errorf("%s: %w", conventionFile, err)
	}
	conn, err := connect(address)
	if err != nil {
		return nil, err
	}
	return &traveller{address: address, structure: structure, convention: convention, conn: conn}, nil
}

func (t *traveller) serverInfo(ctx context.Context) (saw, error) {
	answer, err := osa.NewServerServiceClient(t.conn).GetServerInfo(ctx, &osa.GetServerInfoRequest{})
	if err != nil {
		return nil, err
	}
	info := answer.GetServerInfo()
	return saw{
		"runtimes":            info.GetRuntimes(),
		"feature_kinds":       info.GetFeatureKinds(),
		"container_contracts": info.GetContainerContracts(),
	}, nil
}

func (t *traveller) validateOnly(ctx context.Context) (saw, error) {
	conventions := osa.NewConventionServiceClient(t.conn)
	answer, err := conventions.RegisterConvention(ctx, &osa.RegisterConventionRequest{
		ConventionId: conventionID, Convention: t.convention, ValidateOnly: true,
	})
	if err != nil {
		return nil, err
	}
	name := answer.GetConvention().GetName()
	_, err = conventions.GetConvention(ctx, &osa.GetConventionRequest{Name: name})
	if err != nil && status.Code(err) != codes.NotFound {
		return nil, err
	}
	return saw{"name": name, "stored": err == nil}, nil
}

func (t *traveller) register(ctx context.Context) (saw, error) {
	conventions := osa.NewConventionServiceClient(t.conn)
	answer, err := conventions.RegisterConvention(ctx, &osa.RegisterConventionRequest{
		ConventionId: conventionID, Convention: t.convention,
	})
	if err != nil {
		return nil, err
	}
	t.name = answer.GetConvention().GetName()

	// Its tables are being made. The stream ends once it is READY or FAILED.
	stream, err := conventions.WatchConvention(ctx, &osa.WatchConventionRequest{Name: t.name})
	if err != nil {
		return nil, err
	}
	registered := answer.GetConvention()
	for {
		next, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		registered = next.GetConvention()
	}
	// A state of a newer contract prints as its number.
	return saw{
		"name":           registered.GetName(),
		"state":          registered.GetState().String(),
		"feature_tables": registered.GetFeatureTables(),
	}, nil
}

func (t *traveller) registerAgain(ctx context.Context) (saw, error) {
	answer, err := osa.NewConventionServiceClient(t.conn).RegisterConvention(ctx, &osa.RegisterConventionRequest{
		ConventionId: conventionID, Convention: t.convention,
	})
	if err != nil {
		return nil, err
	}
	again := answer.GetConvention()
	return saw{"same_name": again.GetName() == t.name, "state": again.GetState().String()}, nil
}

func (t *traveller) conflict(ctx context.Context) (saw, error) {
	other := proto.CloneOf(t.convention)
	other.Name, other.Version = "", "2.0.0"
	for _, hook := range other.GetHooks() {
		for _, column := range hook.GetTable().GetColumns() {
			if hook.GetName() == chains && column.GetName() == "residue_count" {
				column.JsonType = osa.JsonType_JSON_TYPE_STRING
			}
		}
	}
	_, err := osa.NewConventionServiceClient(t.conn).RegisterConvention(ctx, &osa.RegisterConventionRequest{
		ConventionId: conventionID, Convention: other,
	})
	if err == nil {
		return nil, errors.New("it was accepted")
	}
	columns := []saw{}
	if conflict := detailOf[*osa.FeatureTableConflict](err); conflict != nil {
		for _, column := range conflict.GetColumns() {
			columns = append(columns, saw{
				"column": column.GetColumn(), "expected": column.GetExpected(), "found": column.GetFound(),
			})
		}
	}
	return saw{"code": codeOf(err), "reason": reasonOf(err), "columns": columns}, nil
}

func (t *traveller) upload(ctx context.Context) (saw, error) {
	content, err := os.ReadFile(t.structure)
	if err != nil {
		return nil, err
	}
	if t.deposition, err = t.newDeposition(ctx); err != nil {
		return nil, err
	}
	stream, err := osa.NewDepositionServiceClient(t.conn).UploadFile(ctx)
	if err != nil {
		return nil, err
	}
	header := &osa.UploadFileHeader{
		Parent:    t.deposition,
		FileName:  filepath.Base(t.structure),
		SizeBytes: proto.Int64(int64(len(content))),
		Sha256:    hexSHA256(content),
		MediaType: "chemical/x-mmcif",
	}
	err = stream.Send(&osa.UploadFileRequest{Payload: &osa.UploadFileRequest_Header{Header: header}})
	for start := 0; start < len(content) && err == nil; start += chunkBytes {
		chunk := content[start:min(start+chunkBytes, len(content))]
		err = stream.Send(&osa.UploadFileRequest{Payload: &osa.UploadFileRequest_Chunk{Chunk: chunk}})
	}
	// io.EOF while sending says that the server has answered already; the answer says why.
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	file := answer.GetFile()
	t.file = file.GetName()
	return saw{"file_name": file.GetFileName(), "size_bytes": file.GetSizeBytes(), "sha256": file.GetSha256()}, nil
}

// newDeposition makes a draft with the structure's metadata.
func (t *traveller) newDeposition(ctx context.Context) (string, error) {
	entry, _, _ := strings.Cut(filepath.Base(t.structure), ".")
	text, err := os.ReadFile(filepath.Join(filepath.Dir(t.structure), "..", "metadata", entry+".json"))
	if err != nil {
		return "", err
	}
	metadata := &structpb.Struct{}
	if err := protojson.Unmarshal(text, metadata); err != nil {
		return "", err
	}
	answer, err := osa.NewDepositionServiceClient(t.conn).CreateDeposition(ctx, &osa.CreateDepositionRequest{
		Deposition: &osa.Deposition{Convention: t.name, Metadata: metadata},
	})
	return answer.GetDeposition().GetName(), err
}

func (t *traveller) submit(ctx context.Context) (saw, error) {
	answer, err := osa.NewDepositionServiceClient(t.conn).SubmitDeposition(ctx, &osa.SubmitDepositionRequest{
		Name: t.deposition,
	})
	if err != nil {
		return nil, err
	}
	t.run, t.token = answer.GetRun().GetName(), answer.GetResumeToken()
	return saw{"state": answer.GetRun().GetState().String()}, nil
}

func (t *traveller) log(ctx context.Context) (saw, error) {
	stream, err := osa.NewRunServiceClient(t.conn).ReadRunLog(ctx, &osa.ReadRunLogRequest{
		Name: t.run + "/executions/" + chains,
	})
	if err != nil {
		return nil, err
	}
	log := []byte{}
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return saw{"size_bytes": len(log), "sha256": hexSHA256(log)}, nil
		}
		if err != nil {
			return nil, err
		}
		// A piece is text when it is valid UTF-8, and bytes otherwise.
		log = append(append(log, piece.GetText()...), piece.GetData()...)
	}
}

func (t *traveller) query(ctx context.Context) (saw, error) {
	request := &osa.QueryFeaturesRequest{
		FeatureTable: "featureTables/" + chains,
		Filter:       "residue_count > 1",
		OrderBy:      "chain_id desc",
		Columns:      []string{"chain_id", "polymer_type", "residue_count", "sequence", "mean_b_factor"},
		PageSize:     2,
	}
	var columns []string
	var pages [][][]any
	for range 2 {
		page, err := osa.NewFeatureServiceClient(t.conn).QueryFeatures(ctx, request)
		if err != nil {
			return nil, err
		}
		columns = nil
		for _, column := range page.GetColumns() {
			columns = append(columns, column.GetName())
		}
		rows := [][]any{}
		for _, row := range page.GetRows() {
			values := []any{}
			for _, value := range row.GetValues() {
				plain, err := jsonValue(value)
				if err != nil {
					return nil, err
				}
				values = append(values, plain)
			}
			rows = append(rows, values)
		}
		pages = append(pages, rows)
		request.PageToken = page.GetNextPageToken() // everything else must stay as it was
	}
	return saw{"columns": columns, "pages": pages}, nil
}

func jsonValue(value *osa.Value) (any, error) {
	switch kind := value.GetKind().(type) {
	case *osa.Value_Null:
		return nil, nil
	case *osa.Value_Text:
		return kind.Text, nil
	case *osa.Value_Number:
		return kind.Number, nil
	case *osa.Value_Integer:
		return kind.Integer, nil
	case *osa.Value_Boolean:
		return kind.Boolean, nil
	case *osa.Value_Timestamp:
		return kind.Timestamp.AsTime(), nil
	case *osa.Value_Date:
		return kind.Date, nil
	case *osa.Value_Uuid:
		return kind.Uuid, nil
	case *osa.Value_Json:
		return json.RawMessage(kind.Json), nil
	default: // to take it for null would be wrong data
		return nil, errors.New("a value of a kind that is not known here: a newer client is needed")
	}
}

func (t *traveller) download(ctx context.Context) (saw, error) {
	original, err := os.ReadFile(t.structure)
	if err != nil {
		return nil, err
	}
	stream, err := osa.NewDepositionServiceClient(t.conn).DownloadFile(ctx, &osa.DownloadFileRequest{Name: t.file})
	if err != nil {
		return nil, err
	}
	content := []byte{}
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return saw{"same": bytes.Equal(content, original), "sha256": hexSHA256(content)}, nil
		}
		if err != nil {
			return nil, err
		}
		content = append(content, piece.GetData()...)
	}
}

func hexSHA256(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
