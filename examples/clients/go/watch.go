package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	osa "opensciencearchive.org/example/build-output/gen/opensciencearchive/v1"
)

// watch follows the run to its end, over a connection that is cut in the middle.
func (t *traveller) watch(ctx context.Context) (saw, error) {
	history := &history{}
	for {
		history.connections++
		err := t.follow(ctx, history)
		switch {
		case history.end != "" && err == nil:
			return saw{
				"connections": history.connections,
				"each_once":   history.eachOnce(),
				"kinds":       history.kinds,
				"end":         history.end,
				"closed_with": "OK",
			}, nil
		case err == nil || errors.Is(err, errCut) || status.Code(err) == codes.Unavailable:
			// OK without run_finished comes after `closing`: the server goes, or spreads its watchers. The token is exact, so nothing is missed and
			// nothing comes twice, whoever cut the connection. A program that runs for long waits here as `closing` asks, or a second or so.
		default:
			return nil, err
		}
		t.conn.Close()
		if t.conn, err = connect(t.address); err != nil {
			return nil, err
		}
	}
}

// history is what was seen of a run, over all connections.
type history struct {
	connections int
	sequences   []int64
	kinds       []string
	end         string
}

func (h *history) eachOnce() bool {
	for i, sequence := range h.sequences {
		if sequence != int64(i+1) {
			return false
		}
	}
	return true
}

var errCut = errors.New("the connection was cut")

// follow reads one stream to its end, keeping the token of what was seen. It cuts the first one after `hook_started`.
func (t *traveller) follow(ctx context.Context, history *history) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the call, whatever happens
	stream, err := osa.NewRunServiceClient(t.conn).WatchRun(ctx, &osa.WatchRunRequest{
		Name:  t.run,
		Start: &osa.WatchRunRequest_ResumeToken{ResumeToken: t.token},
	})
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil // with OK
		}
		if err != nil {
			return err
		}
		cut := false
		for _, event := range message.GetEvents() {
			kind := history.add(event)
			cut = cut || kind == "hook_started" && history.connections == 1
		}
		t.token = message.GetResumeToken() // it covers the events of this message: keep it once they are dealt with
		if cut {
			return errCut
		}
	}
}

func (h *history) add(event *osa.RunEvent) string {
	h.sequences = append(h.sequences, event.GetSequence())
	if finished := event.GetRunFinished(); finished != nil {
		h.end = finished.GetState().String()
	}
	message := event.ProtoReflect()
	arm := message.WhichOneof(message.Descriptor().Oneofs().ByName("kind"))
	if arm == nil {
		fmt.Fprintf(os.Stderr, "event %d is of a kind this client does not know; going on\n", event.GetSequence())
		return ""
	}
	kind := string(arm.Name())
	if kind != "hook_progress" || len(h.kinds) == 0 || h.kinds[len(h.kinds)-1] != kind {
		h.kinds = append(h.kinds, kind)
	}
	return kind
}
