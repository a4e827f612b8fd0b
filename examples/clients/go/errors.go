package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	osa "opensciencearchive.org/example/build-output/gen/opensciencearchive/v1"
)

// detailOf returns the first detail of this type that an error brings, or nil.
func detailOf[M proto.Message](err error) (none M) {
	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(M); ok {
			return found
		}
	}
	return none
}

// codeOf returns the name of an error's code as all of gRPC spells it.
func codeOf(err error) string { return code.Code(status.Code(err)).String() }

// reasonOf returns what a program switches on, for example FEATURE_TABLE_CONFLICT.
func reasonOf(err error) string { return detailOf[*errdetails.ErrorInfo](err).GetReason() }

// fieldsOf returns the paths of what was wrong with a request.
func fieldsOf(err error) []string {
	fields := []string{}
	for _, violation := range detailOf[*errdetails.BadRequest](err).GetFieldViolations() {
		fields = append(fields, violation.GetField())
	}
	slices.Sort(fields)
	return fields
}

// errors provokes errors and says how they are told apart.
func (t *traveller) errors(ctx context.Context) (saw, error) {
	seen := saw{}
	for name, err := range map[string]error{
		"bad_name":       t.registerWithHook(ctx, func(hook *osa.HookDefinition) { hook.Name = "Bad Name" }),
		"unknown_column": t.queryWithFilter(ctx, "no_such_column > 1"),
		"empty_oneof":    t.registerWithHook(ctx, func(hook *osa.HookDefinition) { hook.Runtime = nil }),
		// What a client of a newer contract would send: this is how it looks on the wire.
		"unknown_arm": t.registerWithHook(ctx, func(hook *osa.HookDefinition) {
			hook.Runtime = nil
			config := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "main.nf")
			hook.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 11, protowire.BytesType), config))
		}),
		"unknown_field": t.registerWithHook(ctx, func(hook *osa.HookDefinition) {
			hook.GetOci().ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		}),
	} {
		if err == nil {
			return nil, errors.New(name + " was accepted")
		}
		seen[name] = saw{"code": codeOf(err), "reason": reasonOf(err), "fields": fieldsOf(err)}
	}
	seen["expired_deadline"] = saw{"code": codeOf(t.askTooLate(ctx))}
	seen["cancelled"] = saw{"code": codeOf(t.cancelUpload(ctx))}
	return seen, nil
}

func (t *traveller) registerWithHook(ctx context.Context, change func(*osa.HookDefinition)) error {
	changed := proto.CloneOf(t.convention)
	change(changed.GetHooks()[0])
	_, err := osa.NewConventionServiceClient(t.conn).RegisterConvention(ctx, &osa.RegisterConventionRequest{
		ConventionId: conventionID, Convention: changed, ValidateOnly: true,
	})
	return err
}

func (t *traveller) queryWithFilter(ctx context.Context, filter string) error {
	_, err := osa.NewFeatureServiceClient(t.conn).QueryFeatures(ctx, &osa.QueryFeaturesRequest{
		FeatureTable: "featureTables/" + chains, Filter: filter,
	})
	return err
}

func (t *traveller) askTooLate(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err := osa.NewServerServiceClient(t.conn).GetServerInfo(ctx, &osa.GetServerInfoRequest{})
	return err
}

// cancelUpload begins an upload and thinks better of it. Nothing of the file is kept.
func (t *traveller) cancelUpload(ctx context.Context) error {
	deposition, err := t.newDeposition(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := osa.NewDepositionServiceClient(t.conn).UploadFile(ctx)
	if err != nil {
		return err
	}
	header := &osa.UploadFileHeader{Parent: deposition, FileName: "abandoned.cif"}
	for _, payload := range []*osa.UploadFileRequest{
		{Payload: &osa.UploadFileRequest_Header{Header: header}},
		{Payload: &osa.UploadFileRequest_Chunk{Chunk: []byte("data_")}},
	} {
		if err := stream.Send(payload); err != nil {
			return err
		}
	}
	cancel()
	_, err = stream.CloseAndRecv()
	return err
}
