// A client of osa-grpc in Go: from a convention to the rows of a published structure. See ../SCENARIO.md.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	osa "opensciencearchive.org/example/build-output/gen/opensciencearchive/v1"
)

// Reads may be sent again when the server was not there to answer. What changes something may not, unless it has a request_id.
const serviceConfig = `{"methodConfig": [{
	"name": [
		{"service": "opensciencearchive.v1.ServerService"},
		{"service": "opensciencearchive.v1.FeatureService"},
		{"service": "opensciencearchive.v1.ConventionService", "method": "GetConvention"},
		{"service": "opensciencearchive.v1.RunService", "method": "WatchRun"},
		{"service": "opensciencearchive.v1.RunService", "method": "ReadRunLog"},
		{"service": "opensciencearchive.v1.DepositionService", "method": "DownloadFile"}
	],
	"retryPolicy": {
		"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// A connection that broke without a word is noticed within 40 seconds, also in the middle of a long watch.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
}

// saw is what a step prints. encoding/json sorts its keys.
type saw map[string]any

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: run ADDRESS STRUCTURE CONVENTION")
		os.Exit(2)
	}
	if err := goTheRoad(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func goTheRoad(address, structure, convention string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	traveller, err := newTraveller(address, structure, convention)
	if err != nil {
		return err
	}
	defer func() { traveller.conn.Close() }()

	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, step := range []struct {
		name string
		do   func(context.Context) (saw, error)
	}{
		{"server_info", traveller.serverInfo},
		{"validate_only", traveller.validateOnly},
		{"register", traveller.register},
		{"register_again", traveller.registerAgain},
		{"conflict", traveller.conflict},
		{"upload", traveller.upload},
		{"submit", traveller.submit},
		{"watch", traveller.watch},
		{"log", traveller.log},
		{"query", traveller.query},
		{"download", traveller.download},
		{"errors", traveller.errors},
	} {
		seen, err := step.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		if err := out.Encode(map[string]any{"step": step.name, "saw": seen}); err != nil {
			return err
		}
	}
	return nil
}

// traveller carries along the road what later steps need of earlier ones.
type traveller struct {
	address    string
	structure  string
	convention *osa.Convention
	conn       *grpc.ClientConn

	name       string // of the convention
	deposition string
	file       string
	run        string
	token      string // with which the run is watched
}
