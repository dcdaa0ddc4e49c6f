package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"chartcellar/config"
)

func configCommand(e *env) *cobra.Command {
	c := command("config", "Show and check the settings file", "", cobra.NoArgs,
		func(context.Context, []string) error { return e.configShow() })
	diff := 0
	history := command("history", "Show how the settings were changed, by whom and when",
		`history lists every state of the settings file that the mirror has kept: each is
signed, sealed, and part of every second copy. With --diff N it shows the lines in
which number N differs from the one before. It needs a passphrase.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.configHistory(ctx, diff) })
	history.Flags().IntVar(&diff, "diff", 0, "show what this number changed")
	c.AddCommand(history,
		command("show", "Print the settings file", "", cobra.NoArgs,
			func(context.Context, []string) error { return e.configShow() }),
		command("check", "Say whether the settings can be used", "", cobra.NoArgs,
			func(context.Context, []string) error { return e.configCheck() }),
		command("path", "Print where the settings file is", "", cobra.NoArgs,
			func(context.Context, []string) error { return e.configPath() }),
		command("sample", "Print a settings file with every setting explained", "", cobra.NoArgs,
			func(context.Context, []string) error { return e.configSample() }))
	return c
}

func (e *env) configShow() error {
	s, err := e.settings()
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(s)
	}
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	e.printf("%s", b)
	return nil
}

func (e *env) configCheck() error {
	s, err := e.settings()
	if err != nil {
		return err
	}
	e.printf("The settings can be used: %d EMRs, mirror in %s.\n", len(s.Sources), s.Data)
	return nil
}

func (e *env) configPath() error {
	path, err := e.settingsPath()
	if err == nil {
		e.printf("%s\n", path)
	}
	return err
}

func (e *env) configSample() error {
	s := config.Settings{Practice: "My practice", Data: "/srv/chartcellar", BoxKey: "/etc/chartcellar/box.key"}
	e.printf("%s%s", config.Sample(s), config.Block(config.Source{Name: "emr", Base: "https://emr.example/fhir/r4",
		Group: "all-patients", ClientID: "our-client-id"}))
	return nil
}
