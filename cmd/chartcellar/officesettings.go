package main

import (
	"context"
	"encoding/pem"
	"path/filepath"
	"strings"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/disk"
)

// Settings is part of viewer.Administration.
func (o *office) Settings(context.Context) (viewer.Settings, error) {
	s := o.d.settings()
	path, err := o.e.settingsPath()
	if o.m.ReadOnly() {
		path, err = "", nil // there are none
	}
	if err != nil {
		return viewer.Settings{}, err
	}
	out := viewer.Settings{Practice: s.Practice, Folder: s.Data, File: path, Version: release, Address: o.front.url(),
		Fingerprint: o.front.id.fingerprint(), Alerts: viewer.Alerts{Mail: s.Alerts.MailTo, Ping: s.Alerts.Ping}, Mail: mailWords(s.Alerts)}
	runs, err := o.m.Runs()
	if err != nil {
		return out, err
	}
	for _, src := range s.Sources {
		out.Connections = append(out.Connections, viewer.Connection{Source: src.Name, Base: src.Base, Auth: src.Auth,
			ClientID: src.ClientID, Level: src.Level, Group: src.Group, Mode: src.Mode, SignIn: signedIn(o.m, src.Name, runs)})
	}
	proven, err := sheetProven(o.m)
	if !proven.IsZero() {
		out.Recovery = health.Check{Answer: health.Yes, At: proven, Words: "it was typed from the paper"}
	}
	return out, err
}

// signedIn is when the sign-in to an EMR worked last: each run that came to an end
// needed it.
func signedIn(m *store.Mirror, source string, runs []store.RunInfo) health.Check {
	for _, r := range runs {
		if r.Source == source && r.Kind == "sync" && !r.Ended.IsZero() && verdictOf(m, r) != fhirsync.FailedRun {
			return health.Check{Answer: health.Yes, At: r.Ended}
		}
	}
	return health.Check{}
}

// TestConnection is part of viewer.Administration.
func (o *office) TestConnection(ctx context.Context, a viewer.Actor, source string) ([]viewer.Step, error) {
	src, err := o.source(source)
	if err != nil {
		return nil, err
	}
	if err := o.m.Journal(store.Event{Code: "source.test", Account: a.Account, Key: store.Key{Source: src.Name}}); err != nil {
		return nil, err
	}
	s := &steps{}
	if err := o.e.testSteps(ctx, o.m, src, s); err != nil {
		s.explain(err)
		return s.list, ctx.Err()
	}
	return s.list, o.setUp(func(st *setupState) { st.EMR = true })
}

// Worksheet is part of viewer.Wizard.
func (o *office) Worksheet(ctx context.Context) (viewer.Worksheet, error) {
	w, err := o.e.makeWorksheet(ctx, o.m, config.Source{Name: o.sourceName()})
	if err != nil {
		return viewer.Worksheet{}, err
	}
	return viewer.Worksheet{Source: o.sourceName(), PublicKey: w.jwks, Scopes: w.scopes, Rows: w.rows}, nil
}

// sourceName is what the EMR of the first run is called: the key is made under it.
func (o *office) sourceName() string {
	if s := o.d.settings(); len(s.Sources) > 0 {
		return s.Sources[0].Name
	}
	return firstSource
}

const firstSource = "emr"

// Connect is part of viewer.Wizard.
func (o *office) Connect(_ context.Context, a viewer.Actor, c viewer.NewConnection) error {
	c.Source = o.sourceName() // the key was made under that name
	src := config.Source{Name: c.Source, Base: strings.TrimSpace(c.Base), ClientID: c.ClientID, Auth: c.Auth, Group: c.Group, Local: c.Local}
	if src.Group == "" {
		src.Level = "system"
	}
	st, err := o.setupState()
	if err != nil {
		return err
	}
	src.Pull, src.Full = st.Pull, st.Full
	s := o.d.settings()
	if _, err := config.Parse(append(config.Sample(s), config.Block(src)...)); err != nil { // before anything is written
		return refusal(usage(err.Error()))
	}
	if src.CA, err = o.keepCA(c); err != nil {
		return err
	}
	if _, err := s.Source(c.Source); err == nil {
		return o.reconnect(a, src, c.Secret)
	}
	if err := o.keepSecret(src, c.Secret); err != nil {
		return err
	}
	return refusal(o.e.appendSource(o.m, a.Account, src))
}

// reconnect changes what a vendor gives for an EMR that is in the settings.
func (o *office) reconnect(a viewer.Actor, src config.Source, secret string) error {
	if err := o.keepSecret(src, secret); err != nil {
		return err
	}
	section := "source " + src.Name
	edits := []config.Edit{{Section: section, Key: "base", Value: src.Base}, {Section: section, Key: "client_id", Value: src.ClientID},
		{Section: section, Key: "group", Value: src.Group}, {Section: section, Key: "local", Value: src.Local}}
	if src.CA != "" {
		edits = append(edits, config.Edit{Section: section, Key: "ca", Value: src.CA})
	}
	if src.Auth != "" {
		edits = append(edits, config.Edit{Section: section, Key: "auth", Value: src.Auth})
	}
	level := src.Level
	if level == "" {
		level = "group"
	}
	return o.change(a, append(edits, config.Edit{Section: section, Key: "level", Value: level})...)
}

func (o *office) keepSecret(src config.Source, secret string) error {
	switch {
	case !needsSecret(src.Auth):
		return nil
	case secret == "":
		return &viewer.Refusal{Words: "This way to sign in needs the secret that the vendor gave you. Nothing was changed."}
	}
	return o.m.PutSecret(src.Name+".secret", []byte(secret))
}

// keepCA writes the certificate of an EMR's own authority beside the settings.
func (o *office) keepCA(c viewer.NewConnection) (string, error) {
	if c.CA == "" {
		return "", nil
	}
	if block, _ := pem.Decode([]byte(c.CA)); block == nil || block.Type != "CERTIFICATE" {
		return "", &viewer.Refusal{Words: "This is no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----. Nothing was changed."}
	}
	path, err := o.e.settingsPath()
	if err != nil {
		return "", err
	}
	file := filepath.Join(filepath.Dir(path), c.Source+"-ca.pem")
	return file, disk.ReplaceFile(o.e.fsys(), file, []byte(c.CA+"\n"))
}
