package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
)

func renewCommand(e *env) *cobra.Command {
	password := false
	c := command("renew NAME", "Sign in to an EMR again, with a new key or secret",
		`renew is for an EMR that is in the settings while the key or secret with which this
computer signed in is gone, as after a restore: no copy ever holds it. It makes a new key
and prints what to give the vendor, or asks for the client secret or token
(CHARTCELLAR_CLIENT_SECRET), and tests the connection. Once the vendor has the key, run
it again: it makes no further one. The next sync goes on where the last run ended.

To change a key that works: connect signing-key --rotate.

NAME may also be a holding whose files lie on a server: renew prints the key with which
this computer signs in there, or with --password asks for the password
(CHARTCELLAR_COPY_SECRET), and lists the folder.`,
		cobra.ExactArgs(1), func(ctx context.Context, a []string) error { return e.renew(ctx, a[0], password) })
	c.Flags().BoolVar(&password, "password", false, "the SFTP server of a holding wants a password")
	return c
}

func (e *env) renew(ctx context.Context, name string, password bool) error {
	s, err := e.settings()
	if err != nil {
		return err
	}
	if h, ok := s.Holding(name); ok {
		return e.renewHolding(ctx, h, password)
	}
	src, err := s.Source(name)
	if err != nil {
		return usage(err.Error())
	}
	a := access{doing: "connect renew", write: true}
	if needsSecret(src.Auth) {
		a.asks = "CHARTCELLAR_CLIENT_SECRET"
	}
	return e.withMirror(ctx, a, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		if err := e.newSignIn(ctx, m, src); err != nil {
			return err
		}
		st := &steps{e: e}
		err := e.testSteps(ctx, m, src, st)
		if err != nil && src.Auth == string(smart.BackendServices) && st.failed() == "sign-in" {
			p := *explain(err)
			p.Next = "If the vendor has not registered the key above yet, that is why. When it is registered: chartcellar connect renew " + src.Name
			return &p
		}
		if err != nil {
			return err
		}
		e.printf("The sign-in to %s works again. The next run goes on where the last one ended: chartcellar sync\n", src.Name)
		return nil
	})
}

// newSignIn makes the key of a source, if it has none, and prints it; or takes a new
// secret.
func (e *env) newSignIn(ctx context.Context, m *store.Mirror, src config.Source) error {
	if src.Auth == string(smart.None) {
		e.printf("This EMR asks for no sign-in.\n")
		return nil
	}
	event := store.Event{Code: "source.renew", Account: "owner", Key: store.Key{Source: src.Name}}
	if err := m.Journal(event); err != nil {
		return err
	}
	if needsSecret(src.Auth) {
		if err := e.keepSecret(m, src); err != nil {
			return err
		}
	} else {
		w, err := e.makeWorksheet(ctx, m, src)
		if err != nil {
			return err
		}
		e.printf("FOR THE EMR VENDOR: the practice's computer was replaced. Please register this key\n(%s) for the client id %s, and remove the one before.\n\n%s\n\n", w.alg, src.ClientID, w.jwks)
	}
	return e.changed(m, notice{code: event.Code, by: event.Account, source: src.Name})
}

// A signInAgainError says that this computer has nothing to sign in to an EMR with.
type signInAgainError struct{ error }

// Unwrap returns the words.
func (e signInAgainError) Unwrap() error { return e.error }

// signInGone reports whether what a source signs in with is not here, as after a restore:
// no copy holds it. Who only looks at a folder cannot tell.
func signInGone(m *store.Mirror, src config.Source) (bool, error) {
	name := src.Name + ".signing"
	switch {
	case m.ReadOnly(), src.Auth == string(smart.None):
		return false, nil
	case needsSecret(src.Auth):
		name = src.Name + ".secret"
	}
	b, err := m.Secret(name)
	return b == nil, err
}

// signInAgain returns a signInAgainError if what a source signs in with is not here.
func signInAgain(m *store.Mirror, src config.Source) error {
	gone, err := signInGone(m, src)
	if err != nil || !gone {
		return err
	}
	return signInAgainError{&plainError{exitFailed, fmt.Sprintf("This computer has nothing to sign in to %s with: after a restore that is so, since no copy holds it.", src.Name),
		nothingLost, "Sign in again: " + renewCall(src.Name)}}
}

func renewCall(name string) string { return "chartcellar connect renew " + name }

// isConnected reports whether a source is in the settings.
func (e *env) isConnected(name string) bool {
	s, err := e.settings()
	if err != nil {
		return false
	}
	_, err = s.Source(name)
	return err == nil
}

// signIns judges whether there is something to sign in with.
func (f *factFinder) signIns() error {
	for _, src := range f.s.Sources {
		gone, err := signInGone(f.m, src)
		if err != nil {
			return err
		}
		if gone {
			f.in.Facts[health.SignIn] = health.Check{Answer: health.No, At: f.now, Words: "sign in again: " + renewCall(src.Name)}
		}
	}
	return nil
}
