package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
	"chartcellar/store/verify"
)

// A restoreOptions is what restore is told.
type restoreOptions struct {
	place    config.Copy
	from, to string
	sheet    string
	key      string // file with the key of the SFTP account
	password bool
	phrase   bool
	noVerify bool
}

func restoreCommand(e *env) *cobra.Command {
	var o restoreOptions
	c := command("restore", "Bring a second copy back into a folder, with the printed sheet",
		`restore needs this program, a second copy and the recovery sheet, and nothing else: no
settings, no box, no EMR. --from is the folder or disk of the copy, or
sftp://user@host:port/path, or https://host/bucket/prefix. The key is typed from the sheet,
or --sheet names a file with its lines. Broken off, it goes on where it stopped. Then it
reads every byte of what came.

It changes nothing at the second copy. The folder can then be looked at (chartcellar serve
--read-only FOLDER), or become the office copy of this computer (chartcellar adopt).`,
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.restore(ctx, o) })
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "where the second copy is")
	f.StringVar(&o.to, "to", "", "an empty folder on a disk of this computer")
	f.StringVar(&o.sheet, "sheet", "", "file with the recovery key, instead of typing it")
	f.BoolVar(&o.phrase, "phrase", false, "open it with the six words of this copy (CHARTCELLAR_PHRASE), instead of the sheet")
	f.StringVar(&o.place.HostKey, "host-key", "", "fingerprint of the SFTP server, from the second page of the sheet")
	f.StringVar(&o.key, "key", "", "file with the key of the SFTP account")
	f.BoolVar(&o.password, "password", false, "the SFTP server wants a password (CHARTCELLAR_COPY_SECRET)")
	f.StringVar(&o.place.AccessKey, "access-key", "", "access key of the bucket; its secret is asked for (CHARTCELLAR_COPY_SECRET)")
	f.StringVar(&o.place.Region, "region", "", "region of the bucket")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not read everything once more at the end")
	return c
}

// A paper is the key of the sheet, and the sheet's text if the whole of it is there.
type paper struct {
	id   age.Identity
	text string
}

// fits says whether a place holds the mirror of the sheet.
func (p paper) fits(first string, s keys.Statement) error {
	if _, err := keys.OpenMirrorKey(s, p.id); err != nil {
		return &plainError{exitLocked, "This key does not open the copy that lies there: it is the key of another one, or of an older sheet.",
			"Nothing was written.", "Take the sheet that was printed for this practice's office copy."}
	}
	if !fitsSheet(p.text, first) {
		return fmt.Errorf("compare the second copy with the sheet: %w", keys.ErrForged)
	}
	return nil
}

func (e *env) restore(ctx context.Context, o restoreOptions) error {
	if o.from == "" || o.to == "" {
		return usage("say where the second copy is, --from PLACE, and where it goes, --to FOLDER")
	}
	to, err := e.abs(o.to)
	if err != nil {
		return err
	}
	if err := e.freeFor(to); err != nil {
		return err
	}
	p, err := e.foreignPlace(ctx, o)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	sheet, err := e.restoreKey(ctx, p, o)
	if err != nil {
		return err
	}
	r, err := offsite.Restore(ctx, p, offsite.RestoreOptions{Dir: to, FS: e.fsys(), Now: e.now, Mirror: sheet.fits, Events: e.fetched()})
	if errors.Is(err, offsite.ErrNotThere) && !errors.Is(err, offsite.ErrAway) {
		return &plainError{exitFailed, "There is no copy of a mirror at this place.", "Nothing was changed there.", "Name the folder that holds the folders mirror, parts and checkpoints."}
	}
	if err != nil {
		if r.Files > 0 {
			e.printf("Broken off. What has come is kept in %s; the same command goes on from there.\n", to)
		}
		return err
	}
	return e.restored(ctx, o, to, sheet, r)
}

// restoreKey is what opens the copy: the sheet, or the copy's phrase.
func (e *env) restoreKey(ctx context.Context, p offsite.Place, o restoreOptions) (paper, error) {
	if o.phrase {
		id, err := e.phraseKey(ctx, p)
		return paper{id, ""}, err
	}
	id, text, err := e.lookingKey(store.Options{}, lookOptions{sheet: o.sheet})
	return paper{id, text}, err
}

// freeFor refuses a folder that is somebody's.
func (e *env) freeFor(to string) error {
	for _, name := range []string{"index.db", "secrets", "access.db"} {
		there, err := disk.Exists(e.fsys(), filepath.Join(to, name))
		if err != nil {
			return err
		}
		if there {
			return &plainError{exitUsage, "There is an office copy in use in " + to + ".", nothingLost, "Restore into an empty folder."}
		}
	}
	list, err := os.ReadDir(to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the folder: %w", err)
	}
	ours := append(store.Folders(), "holdings")
	for _, f := range list {
		if !slices.Contains(ours, f.Name()) {
			return usage(fmt.Sprintf("the folder %s holds other things (%s); give an empty one", to, f.Name()))
		}
	}
	return nil
}

// foreignPlace opens a place of which there are no settings.
func (e *env) foreignPlace(ctx context.Context, o restoreOptions) (offsite.Place, error) {
	secret := ""
	if o.password || strings.HasPrefix(o.from, "http") {
		var err error
		if secret, err = e.askSecret("CHARTCELLAR_COPY_SECRET", "Password of the account, or secret key of the bucket"); err != nil {
			return nil, err
		}
	}
	switch {
	case strings.HasPrefix(o.from, "sftp://"):
		s, err := sftpOf(o.from)
		if err != nil {
			return nil, err
		}
		s.HostKey, s.Password = o.place.HostKey, secret
		if o.key != "" {
			if s.Key, err = os.ReadFile(o.key); err != nil {
				return nil, fmt.Errorf("read the key of the SFTP account: %w", err)
			}
		}
		if s.HostKey == "" {
			return nil, usage("give the fingerprint of the server with --host-key; it stands on the second page of the sheet")
		}
		return offsite.OpenSFTP(ctx, s)
	case strings.HasPrefix(o.from, "http"):
		o.place.S3 = o.from
		s, err := s3Of(o.place)
		if err != nil {
			return nil, err
		}
		s.SecretKey = secret
		return offsite.OpenS3(ctx, s)
	}
	from, err := e.abs(o.from)
	if err != nil {
		return nil, err
	}
	return offsite.OpenFolder(from, e.fsys()), nil
}

// fetched prints how far a restore is, every few seconds.
func (e *env) fetched() func(done, all int, bytes int64) {
	last := e.now()
	return func(done, all int, bytes int64) {
		if e.now().Sub(last) > 5*time.Second {
			last = e.now()
			fmt.Fprintf(e.Stderr, "%d of %d files, %d MB\n", done, all, bytes>>20)
		}
	}
}

// restored looks at what came and says what to do with it.
func (e *env) restored(ctx context.Context, o restoreOptions, to string, sheet paper, r offsite.Restored) error {
	e.printf("%d files of the mirror %s are in %s; %d of them came now, %d MB.\n", r.Files, r.Mirror, to, r.Files-r.Before, r.Bytes>>20)
	for _, w := range r.Believe {
		e.printf("LEFT ASIDE  %s\n", w)
	}
	for _, w := range r.Wrong {
		e.printf("WRONG  %s: %s\n", w.File, w.What)
	}
	m, err := store.Look(ctx, store.Options{Dir: to, Identity: sheet.id, FS: e.disk, Now: e.clock})
	if err != nil {
		return err
	}
	defer m.Close() // only looked at
	if n := m.Unfinished(); n > 0 {
		e.printf("%d files of a pull that was under way when the copy was made are left aside; the next pull brings what they hold.\n", n)
	}
	good, err := e.tellApart(m, r.Disk)
	if err != nil {
		return err
	}
	good = good && len(r.Wrong) == 0
	if !o.noVerify {
		v, err := verify.Run(ctx, m, verify.Options{Depth: verify.Full, Now: e.now})
		if err != nil {
			return err
		}
		e.printVerify(v)
		good = good && v.Good()
	}
	runs, err := m.Runs()
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.Kind == "sync" && !run.Ended.IsZero() {
			e.printf("It holds what was pulled up to %s, %s ago.\n", run.Ended.Local().Format("2006-01-02 15:04"), health.Age(e.now().Sub(run.Ended)))
			break
		}
	}
	e.printf("\nTo look at it:                         chartcellar serve --read-only %s\n", to)
	e.printf("To go on with it on this computer:     chartcellar adopt --data %s\n", to)
	if !good {
		e.printf("\nNot everything came back as it was signed; what is not named above is good. Try another second copy into another folder.\n")
		return quiet(exitDamage)
	}
	return nil
}
