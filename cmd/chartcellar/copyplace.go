package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
)

// The secrets of a second copy, or of a holding at a server, sealed in the mirror: no
// holding has the name of a copy.
func copyKeyName(c config.Copy) string    { return c.Name + ".copy-key" }
func copySecretName(c config.Copy) string { return c.Name + ".copy-secret" }

// openPlace opens the place of a second copy. Without a mirror (nil) only folders can be
// opened.
func (e *env) openPlace(ctx context.Context, m *store.Mirror, c config.Copy) (offsite.Place, error) {
	p, err := e.bareplace(ctx, m, c)
	if err != nil || c.RateMbit == 0 {
		return p, err
	}
	return offsite.Limit(p, int64(c.RateMbit)*1_000_000/8), nil
}

func (e *env) bareplace(ctx context.Context, m *store.Mirror, c config.Copy) (offsite.Place, error) {
	if c.Folder != "" {
		return offsite.OpenFolder(c.Folder, e.fsys()), nil
	}
	if m == nil {
		return nil, fmt.Errorf("its sign-in is kept in the office copy, which cannot be opened: %w", offsite.ErrAway)
	}
	if c.SFTP != "" {
		p, err := openSFTP(ctx, m, c)
		if errors.Is(err, errNoSignIn) {
			return nil, noSignIn(c)
		}
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	secret, err := m.Secret(copySecretName(c))
	if err != nil {
		return nil, err
	}
	if len(secret) == 0 {
		return nil, noSignIn(c)
	}
	o, err := s3Of(c)
	if err != nil {
		return nil, err
	}
	o.SecretKey = string(secret)
	p, err := offsite.OpenS3(ctx, o)
	if err != nil {
		return nil, err // no Place that is a nil *S3
	}
	return p, nil
}

var errNoSignIn = errors.New("this computer has neither a key nor a password for it")

// openSFTP signs in to the SFTP server of a second copy, or of a holding.
func openSFTP(ctx context.Context, m *store.Mirror, c config.Copy) (*offsite.SFTP, error) {
	secret, err := m.Secret(copySecretName(c))
	if err != nil {
		return nil, err
	}
	key, err := m.Secret(copyKeyName(c))
	if err != nil {
		return nil, err
	}
	if key == nil && secret == nil {
		return nil, fmt.Errorf("%w: %w", offsite.ErrDenied, errNoSignIn)
	}
	o, err := sftpOf(c.SFTP)
	if err != nil {
		return nil, err
	}
	o.HostKey, o.Password, o.Key = c.HostKey, string(secret), key
	return offsite.OpenSFTP(ctx, o)
}

// noSignIn says that this computer cannot sign in to a second copy, as after a restore.
func noSignIn(c config.Copy) error {
	return refused{&plainError{exitFailed, "This computer has nothing to sign in to the second copy " + c.Name + " with.",
		"Nothing is lost: the office copy is unchanged, and what lies at the second copy is kept.", "Sign in again: chartcellar copy renew " + c.Name}}
}

// A refused error is offsite.ErrDenied in words of its own.
type refused struct{ *plainError }

// Is reports whether it is ErrDenied.
func (refused) Is(err error) bool { return err == offsite.ErrDenied }

// Unwrap returns the words.
func (r refused) Unwrap() error { return r.plainError }

// sftpOf reads user@host:port/path.
func sftpOf(text string) (o offsite.SFTPOptions, err error) {
	u, err := url.Parse("sftp://" + strings.TrimPrefix(text, "sftp://"))
	if err != nil || u.User == nil || u.Host == "" || u.Path == "" {
		return o, usage("write the place as user@host:port/path")
	}
	o.User, o.Addr, o.Path = u.User.Username(), u.Host, u.Path
	if u.Port() == "" {
		o.Addr += ":22"
	}
	return o, nil
}

// s3Of reads https://host/bucket/prefix.
func s3Of(c config.Copy) (o offsite.S3Options, err error) {
	u, err := url.Parse(c.S3)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return o, usage("write the place as https://host/bucket, or https://host/bucket/prefix")
	}
	o.Bucket, o.Prefix, _ = strings.Cut(strings.Trim(u.Path, "/"), "/")
	o.Endpoint, o.Insecure = u.Host, u.Scheme == "http"
	o.Region, o.AccessKey, o.LockDays = c.Region, c.AccessKey, c.LockDays
	return o, nil
}

// explainCopy says what is wrong with a second copy.
func explainCopy(err error) *plainError {
	const mirror = "Nothing is lost: the office copy is unchanged, and what lies at the second copy is kept."
	var other *offsite.HostKeyError
	switch {
	case errors.As(err, &other):
		return &plainError{exitFailed, "The server of the second copy shows another fingerprint than the one you confirmed: " + other.Offered + ". No password was sent.", mirror,
			"It may be somebody else's server, or it was set up again: ask its operator for the fingerprint before you confirm this one."}
	case errors.Is(err, offsite.ErrForeign):
		return &plainError{exitFailed, "This place holds the copy of another mirror: another practice's, or one that was made anew.", mirror,
			"Choose an empty folder or bucket for this mirror, or plug the right disk in."}
	case errors.Is(err, offsite.ErrFenced):
		return &plainError{exitFailed, "Another computer has taken over this mirror: its copies are no longer made from here.", mirror,
			"If that was you, stop using this computer for it: what it still copies from the EMR reaches no second copy. If it was not, call whoever looks after your computers now."}
	case errors.Is(err, offsite.ErrOldKeys):
		return &plainError{exitFailed, "This place holds the copy that was made before the office copy got new keys.", mirror,
			"Keep it until the new copy is complete, and make that in an empty folder or bucket: chartcellar copy add. The old one still opens with the old sheet: then destroy it."}
	case errors.Is(err, offsite.ErrRival):
		return &plainError{exitFailed, "Two computers go on with this mirror: both were made the office's from the same copy, and the other one writes to this place.", mirror,
			"Decide which one goes on; take the other out of use. This one can go on with a second copy at a place of its own."}
	case errors.Is(err, offsite.ErrAhead):
		return &plainError{exitDamage, "The second copy is newer than the office copy: an older state of the office copy's folder was put back.",
			"Newer records are safe at the second copy.", "Bring them back: chartcellar restore, into another folder. Do not go on with this one unless you know why it is older."}
	case errors.Is(err, offsite.ErrAway):
		return &plainError{exitFailed, "The place of the second copy cannot be reached: the disk is not plugged in, or the server does not answer.", mirror,
			"Plug the disk in, or see that the office has internet; the copy goes on where it stopped."}
	case errors.Is(err, offsite.ErrDenied):
		return &plainError{exitFailed, "The place of the second copy refuses the sign-in" + after(err, offsite.ErrDenied) + ".", mirror,
			"Check user, key or password, and the server's fingerprint: chartcellar copy add --help. A server that shows another fingerprint than before may be somebody else's: ask its operator first."}
	case errors.Is(err, offsite.ErrFull):
		return &plainError{exitFailed, "There is no room left at the place of the second copy.", mirror, "Make room there, or add a larger place; the copy goes on where it stopped. Delete nothing of the copy itself."}
	case errors.Is(err, offsite.ErrNoRoom):
		return &plainError{exitFailed, "The copy does not fit on the disk that it goes to" + after(err, offsite.ErrNoRoom) + ".", "Nothing is lost: the second copy is unchanged, and what has come already is kept.",
			"Give a folder on a larger disk: --to FOLDER for a restore, --scratch FOLDER for a drill."}
	case errors.Is(err, offsite.ErrTooLarge):
		return &plainError{exitFailed, "The place of the second copy cannot hold a file as large as one of this mirror. A disk with the file system FAT ends at 4 GB.", mirror,
			"Choose a disk with exFAT, NTFS or another file system, or another place; what is at this one stays good."}
	case errors.Is(err, offsite.ErrFaulty):
		return &plainError{exitFailed, "The disk of the second copy has a fault: it could not be read or written.", mirror,
			"Try another cable and socket. If it happens again, put a new disk in its place, and keep this one: what it has may still be read."}
	case errors.Is(err, offsite.ErrInTheWay):
		return &plainError{exitFailed, "A file lies where the second copy needs a folder of its own: mirror, parts, attachments, holdings, checkpoints and settings are its names.", mirror,
			"Move it away, or choose an empty folder; the copy goes on where it stopped."}
	case errors.Is(err, offsite.ErrReadOnly):
		return &plainError{exitFailed, "The place of the second copy takes no new files: it is read-only.", mirror, "Take the write protection off, or choose another disk."}
	case errors.Is(err, keys.ErrForged) && strings.Contains(err.Error(), "What stands below"):
		return &plainError{exitDamage, "What lies at the second copy is not signed by this mirror's keys.", mirror,
			"Somebody else may have written there. Keep it as it is, and use another place until you know who did."}
	}
	return nil
}

// after is what an error adds to the sentinel that it wraps.
func after(err, sentinel error) string {
	text := err.Error()
	if i := strings.Index(text, sentinel.Error()); i >= 0 {
		if rest := strings.TrimPrefix(text[i+len(sentinel.Error()):], ": "); rest != "" {
			return fmt.Sprintf(" (%s)", rest)
		}
	}
	return ""
}

// sftpKey returns the public line of the key with which this computer signs in, and
// makes the key at the first call.
func sftpKey(m *store.Mirror, c config.Copy) (string, error) {
	pem, err := m.Secret(copyKeyName(c))
	if err != nil {
		return "", err
	}
	if pem == nil {
		if pem, err = offsite.NewSFTPKey(); err != nil {
			return "", err
		}
		if err := m.PutSecret(copyKeyName(c), pem); err != nil {
			return "", err
		}
	}
	return offsite.PublicLine(pem, "chartcellar-"+c.Name)
}
