package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	osa "opensciencearchive.org/example/build-output/gen/opensciencearchive/v1"
)

// watch follows the run to its end, over a connection that is cut in the middle.
func (t *traveller) watch(ctx context.Context) (saw, error) {
	history := &history{}
	for {
		history.connections++
		history.pause = time.Second
		err := t.follow(ctx, history)
		switch {
		case err == nil: // with OK there is nothing more to come
			return saw{
				"connections": history.connections,
				"each_once":   history.eachOnce(),
				"kinds":       history.kinds,
				"end":         history.end,
				"closed_with": "OK",
			}, nil
		case errors.Is(err, errCut):
			history.pause = 0 // only to show that nothing is lost: a client of yours does not cut its own connections
		case status.Code(err) == codes.Unavailable:
			// The connection was lost, or the server goes or spreads its watchers, and has said so by `closing`. The token is exact, so nothing is
			// missed and nothing comes twice, whoever ended the stream.
		default:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(history.pause):
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
	pause       time.Duration // before the next connection
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
		// Whatever the reason. Any other control needs nothing done, also one that is not known here, which is nil.
		if closing := message.GetClosing(); closing != nil {
			history.pause = closing.GetRetryDelay().AsDuration()
		}
		if cut {
			return errCut
		}
	}
}

func (h *history) add(event *osa.RunEvent) string {
	h.sequences = append(h.sequences, event.GetSequence())
	if finished := event.GetRunFinished(); finished != nil {
		h.end = finished.GetState().String() // the end, whatever it is called: a state of a newer contract prints as its number
	}
	message := event.ProtoReflect()
	arm := message.WhichOneof(message.Descriptor().Oneofs().ByName("kind"))
	if arm == nil { // a kind of a newer contract: it counts, and there is nothing else to do about it
		fmt.Fprintf(os.Stderr, "event %d is of a kind this client does not know; going on\n", event.GetSequence())
		return ""
	}
	kind := string(arm.Name())
	if kind != "hook_progress" || len(h.kinds) == 0 || h.kinds[len(h.kinds)-1] != kind {
		h.kinds = append(h.kinds, kind)
	}
	return kind
}
