package main

import (
	"context"

	"github.com/spf13/cobra"
)

func benchCommand(e *env) *cobra.Command {
	return command("bench", "x", "", cobra.NoArgs, func(context.Context, []string) error { return nil })
}
