// Command chartcellar keeps a practice's own copy of the records that are in
// its hosted EMR: it pulls them over FHIR, keeps them sealed and verified in the
// office, and opens them without the vendor.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, &env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		Terminal: isTerminal(os.Stdout), AskTerminal: isTerminal(os.Stdin),
	}, os.Args[1:])
	stop()
	os.Exit(code)
}
