package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"chartcellar/fhirsync/fakeemr"
)

func fakeemrCommand(e *env) *cobra.Command {
	var o fakeemr.Options
	var dir, secret string
	c := command("fakeemr", "Start an EMR in a box, for trying things out",
		`fakeemr serves an invented practice, or a folder of NDJSON files, over FHIR on this
computer only, until it is stopped. It prints how to connect to it.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.fakeemr(ctx, o, dir, secret) })
	f := c.Flags()
	f.IntVar(&o.Practice.Patients, "patients", 20, "how many patients to invent")
	f.Uint64Var(&o.Practice.Seed, "seed", 1, "another number invents other patients")
	f.StringVar(&o.Folder, "data", "", "folder of NDJSON files to serve instead")
	f.StringVar(&o.Addr, "addr", "127.0.0.1:0", "address to listen on; port 0 is any free one")
	f.BoolVar(&o.Plain, "plain", false, "http instead of https, for benchmarks")
	f.StringVar(&dir, "ca-dir", ".", "where the CA certificate is written")
	f.StringVar(&secret, "secret", "demo-secret", "client secret of the client \"demo\"")
	return c
}

func (e *env) fakeemr(ctx context.Context, o fakeemr.Options, dir, secret string) error {
	emr, err := fakeemr.Start(o)
	if err != nil {
		return err
	}
	defer emr.Close() // it serves nobody any more
	emr.RegisterSecret("demo", secret)
	ca := filepath.Join(dir, "fakeemr-ca.pem")
	if err := os.WriteFile(ca, emr.CAPEM(), 0o600); err != nil {
		return err
	}
	emr.Describe(e.Stdout, ca, "demo")
	e.printf("client secret %s\n\nConnect with:\n  CHARTCELLAR_CLIENT_SECRET=%s chartcellar connect demo --base %s --ca %s \\\n"+
		"    --local --level system --auth client-secret-basic --client-id demo\n\nStop with Ctrl-C.\n", secret, secret, emr.BaseURL(), ca)
	<-ctx.Done()
	return nil
}
