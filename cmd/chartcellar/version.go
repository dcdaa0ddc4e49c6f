package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"chartcellar/store/archive"
)

func versionCommand(e *env) *cobra.Command {
	return command("version", "Print the release, and what it was built from", "", cobra.NoArgs,
		func(context.Context, []string) error { return e.version() })
}

func (e *env) version() error {
	libraries := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			libraries[d.Path] = d.Version
		}
	}
	if e.json {
		return e.printJSON(map[string]any{"release": release, "format": archive.Format, "go": runtime.Version(),
			"system": runtime.GOOS + "/" + runtime.GOARCH, "libraries": libraries})
	}
	e.printf("chartcellar %s, mirror format %d, %s, %s/%s, %d libraries\n", release, archive.Format, runtime.Version(),
		runtime.GOOS, runtime.GOARCH, len(libraries))
	return nil
}
