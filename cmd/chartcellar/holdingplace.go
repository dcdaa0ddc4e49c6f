package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/holding"
	"chartcellar/store/offsite"
)

// atServer is the server of a holding as that of a second copy: its key and password are
// kept in the same way.
func atServer(h config.Holding) config.Copy {
	return config.Copy{Name: h.Name, SFTP: h.SFTP, HostKey: h.HostKey}
}

// whereOfHolding is where its files are left, without secrets.
func whereOfHolding(h config.Holding) string {
	if h.SFTP != "" {
		return "sftp://" + h.SFTP
	}
	return h.Folder
}

// openFolder opens the folder of a holding, here or at a server, and lists it. The caller
// closes it.
func openFolder(ctx context.Context, m *store.Mirror, h config.Holding) (fsys fs.FS, c io.Closer, l holding.Listing, err error) {
	if h.SFTP != "" {
		var p *offsite.SFTP
		if p, err = openSFTP(ctx, m, atServer(h)); err == nil {
			fsys, c = p.Files(ctx), p
		}
	} else {
		var root *os.Root
		if root, err = os.OpenRoot(h.Folder); err == nil {
			fsys, c = root.FS(), root
		}
	}
	if err != nil {
		return nil, nil, l, folderError(h, err)
	}
	l, err = holding.List(fsys, h.Pattern)
	if err == nil && len(l.Skipped) > 0 { // did it go away meanwhile?
		_, err = fs.Stat(fsys, ".")
	}
	if err != nil {
		c.Close() // read only
		return nil, nil, l, folderError(h, err)
	}
	return fsys, c, l, nil
}

// ofPlace reports whether an error is one of a server as a whole, and not of a file there.
func ofPlace(err error) bool {
	return errors.Is(err, offsite.ErrAway) || errors.Is(err, offsite.ErrDenied) && !errors.Is(err, fs.ErrPermission)
}

// folderError says what is wrong with the folder of a holding.
func folderError(h config.Holding, err error) error {
	const kept = "Nothing is lost: what was kept from it is here. Nothing new is kept until "
	var other *offsite.HostKeyError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case h.SFTP == "":
		return fmt.Errorf("%w: %w", errHoldingFolder, &plainError{exitFailed,
			fmt.Sprintf("The folder of the holding %q is not there, or this user may not list it: %s.", h.Name, h.Folder),
			kept + "the folder is back.",
			"See that the disk or share with it is connected and that chartcellar may read it; or correct \"folder\" in the settings: chartcellar config path"})
	case errors.As(err, &other):
		return fmt.Errorf("%w: %w", errHoldingSignIn, &plainError{exitFailed,
			fmt.Sprintf("The server of the holding %q shows another fingerprint than the one you confirmed: %s. No password was sent.", h.Name, other.Offered),
			kept + "this is settled.",
			"It may be somebody else's server, or it was set up again: ask its operator for the fingerprint before you write this one into \"host_key\" of the settings: chartcellar config path"})
	case errors.Is(err, offsite.ErrDenied):
		return fmt.Errorf("%w: %w", errHoldingSignIn, &plainError{exitFailed,
			fmt.Sprintf("The server of the holding %q refuses the sign-in, or does not let this account list the folder: %s.", h.Name, whereOfHolding(h)),
			kept + "it lets us in again.",
			"Have its operator look at the account. For a new key or password: chartcellar connect renew " + h.Name})
	case errors.Is(err, offsite.ErrAway):
		return fmt.Errorf("%w: %w", errHoldingServer, &plainError{exitFailed,
			fmt.Sprintf("The server of the holding %q does not answer, or its folder is not there: %s.", h.Name, whereOfHolding(h)),
			kept + "it answers.",
			"See that the server is on, that this computer can reach it, and that the folder is there; or correct \"sftp\" in the settings: chartcellar config path"})
	}
	return fmt.Errorf("the server of the holding %q: %w", h.Name, err)
}

// renewHolding gives the sign-in of a holding's server again.
func (e *env) renewHolding(ctx context.Context, h config.Holding, password bool) error {
	if h.SFTP == "" {
		return usage("the files of " + h.Name + " are left in a folder of this computer, which needs no sign-in")
	}
	return e.withMirror(ctx, signInAt("connect renew", password), func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		if err := e.signInTo(ctx, m, h, password); err != nil {
			return err
		}
		_, c, l, err := openFolder(ctx, m, h)
		if err != nil {
			return err
		}
		defer c.Close() // only listed
		e.printf("The sign-in to the server of the holding %q works; %s there now.\n", h.Name, several(len(l.Files)+l.Arriving, "file is", "files are"))
		return nil
	})
}

// signInAt is the access of a command that may take the password of a server.
func signInAt(doing string, password bool) access {
	a := access{doing: doing, write: true}
	if password {
		a.asks, a.what = "CHARTCELLAR_COPY_SECRET", "Password of the account at the server"
	}
	return a
}

// signInTo makes the key of a holding's server, or takes its password, and asks a person
// to compare the server's fingerprint unless he has.
func (e *env) signInTo(ctx context.Context, m *store.Mirror, h config.Holding, password bool) error {
	c := atServer(h)
	if !password || c.HostKey == "" {
		if err := e.copyKey(ctx, m, addedCopy{Copy: c, password: password}, "read"); ofPlace(err) {
			return folderError(h, err)
		} else if err != nil {
			return err
		}
	}
	if !password {
		return nil
	}
	secret, err := e.askSecret("CHARTCELLAR_COPY_SECRET", "Password of the account at the server")
	if err != nil {
		return err
	}
	return m.PutSecret(copySecretName(c), []byte(secret))
}

// connectFiles adds a watched folder, of this computer or of a server, to the settings.
func (e *env) connectFiles(ctx context.Context, h config.Holding, password bool) error {
	var err error
	server := false
	if h.SFTP, server = strings.CutPrefix(h.Folder, "sftp://"); server {
		h.Folder = ""
	} else {
		if h.SFTP = ""; strings.Contains(h.Folder, "://") {
			return usage("write a folder of this computer, such as --files /srv/exports, or one of a server: --files sftp://user@host:port/path")
		}
		if h.Folder, err = e.abs(h.Folder); err != nil {
			return err
		}
	}
	if h.FormatDocument != "" {
		if h.FormatDocument, err = e.abs(h.FormatDocument); err != nil {
			return err
		}
	}
	return e.withMirror(ctx, signInAt("connect", password && server), func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		if _, ok := s.Holding(h.Name); ok {
			return usage("there is a holding " + h.Name + " already; change it in the settings file: chartcellar config path")
		}
		whole, n, err := e.withHolding(h)
		if err != nil {
			return err
		}
		if server {
			if err := e.signInTo(ctx, m, h, password); err != nil {
				return err
			}
		}
		_, c, l, err := openFolder(ctx, m, h)
		if err != nil {
			return err
		}
		c.Close() // only listed
		if err := e.putHolding(m, h.Name, whole, n); err != nil {
			return err
		}
		e.printf("The folder is watched as the holding %q; %s in it now.\n", h.Name, several(len(l.Files)+l.Arriving, "file is", "files are"))
		if e.daemon.get() == nil {
			e.printf("\"chartcellar serve\" keeps what is left there. To look now: chartcellar holding watch %s\n", h.Name)
		}
		return nil
	})
}

// withHolding returns the settings file with a new holding, and what that changes.
func (e *env) withHolding(h config.Holding) (whole []byte, n notice, err error) {
	path, err := e.settingsPath()
	if err != nil {
		return nil, n, err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, n, fmt.Errorf("read the settings: %w", err)
	}
	n = notice{code: "holding.connect", by: "owner"}
	if n.before, err = config.Parse(old); err != nil {
		return nil, n, badSettings(err)
	}
	if h.SFTP != "" && h.HostKey == "" {
		h.HostKey = "SHA256:" // the rest is checked before the server is asked
	}
	whole = append(old, config.HoldingBlock(h)...)
	if n.after, err = config.Parse(whole); err == nil {
		_, err = plansOf(n.after)
	}
	if err != nil {
		err = usage(err.Error())
	}
	return whole, n, err
}

// putHolding writes the settings with a new holding, once the journal has it.
func (e *env) putHolding(m *store.Mirror, name string, whole []byte, n notice) error {
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	if err := m.Journal(store.Event{Code: n.code, Account: n.by, Note: name}); err != nil {
		return err
	}
	if err := e.putSettings(m, n.by, path, whole); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return e.changed(m, n)
}
