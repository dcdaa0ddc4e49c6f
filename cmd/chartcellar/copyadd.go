package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/offsite"
)

// copyAdd tests a place and puts it into the settings.
func (e *env) copyAdd(ctx context.Context, o addedCopy) error {
	a := access{doing: "copy add", write: true}
	if o.password || o.S3 != "" {
		a.asks, a.what = "CHARTCELLAR_COPY_SECRET", "Password of the account, or secret key of the bucket"
	}
	if o.Folder != "" {
		var err error
		if o.Folder, err = e.abs(o.Folder); err != nil {
			return err
		}
	}
	return e.withMirror(ctx, a, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		if _, err := s.Copy(o.Name); err == nil {
			return usage("there is a second copy " + o.Name + " already; change it in the settings file, then: chartcellar copy test " + o.Name)
		}
		_, c, err := e.withCopy(o.Copy)
		if err != nil {
			return err
		}
		if o.SFTP != "" && (!o.password || o.HostKey == "") {
			if err := e.copyKey(ctx, m, o, "add"); err != nil {
				return err
			}
		}
		if a.asks != "" {
			secret, err := e.askSecret(a.asks, a.what)
			if err != nil {
				return err
			}
			if err := m.PutSecret(copySecretName(c), []byte(secret)); err != nil {
				return err
			}
		}
		if err := e.testCopy(ctx, m, c); err != nil {
			return err
		}
		if err := e.keepCopy(m, "owner", c); err != nil {
			return err
		}
		e.printf("The second copy is set up as %q. Next: chartcellar copy now %s\n", c.Name, c.Name)
		return nil
	})
}

// keepCopy puts a second copy into the settings, as they are by now.
func (e *env) keepCopy(m *store.Mirror, by string, c config.Copy) error {
	whole, _, err := e.withCopy(c)
	if err != nil {
		return err
	}
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	if err := m.Journal(store.Event{Code: "copy.add", Account: by, Key: store.Key{Source: c.Name}}); err != nil {
		return err
	}
	if err := e.putSettings(m, by, path, whole); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return e.changed(m, notice{code: "copy.add", by: by, place: c.Name})
}

// withCopy returns the settings file with a new second copy, and that as it is read
// from there.
func (e *env) withCopy(c config.Copy) ([]byte, config.Copy, error) {
	path, err := e.settingsPath()
	if err != nil {
		return nil, c, err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, c, fmt.Errorf("read the settings: %w", err)
	}
	if c.SFTP != "" && c.HostKey == "" {
		c.HostKey = "SHA256:" // the rest is checked before the server is asked
	}
	whole := append(old, config.CopyBlock(c)...)
	parsed, err := config.Parse(whole)
	if err == nil {
		_, err = copyPlans(parsed)
	}
	if err == nil && c.Hours != "" {
		_, err = schedule.ParseWindow(c.Hours)
	}
	if err != nil {
		return nil, c, usage(err.Error())
	}
	c, err = parsed.Copy(c.Name)
	return whole, c, err
}

// copyKey makes the key of an SFTP place, and asks a person to compare the server's
// fingerprint unless he has.
func (e *env) copyKey(ctx context.Context, m *store.Mirror, o addedCopy, may string) error {
	if !o.password {
		line, err := sftpKey(m, o.Copy)
		if err != nil {
			return err
		}
		e.printf("The key with which this computer signs in. Put this line into authorized_keys of\nthe account, best one that may only %s files:\n\n%s\n\n", may, line)
	}
	if o.HostKey != "" {
		return nil
	}
	place, err := sftpOf(o.SFTP)
	if err != nil {
		return err
	}
	found, err := offsite.HostKeyOf(ctx, place.Addr)
	if err != nil {
		return err
	}
	e.printf("The server shows this fingerprint:\n\n%s\n\n", found)
	return &plainError{exitUsage, "Nothing is set up yet: compare the fingerprint with what the server's operator tells you.", "Nothing is lost.",
		"If it is the same, call again with: --host-key " + found}
}

// testCopy tests a place step by step and records what was found.
func (e *env) testCopy(ctx context.Context, m *store.Mirror, c config.Copy) error {
	t, err := e.tryPlace(ctx, m, c)
	if err != nil {
		return err
	}
	if err := m.Journal(store.Event{Code: "copy.test", Account: "owner", Key: store.Key{Source: c.Name}}); err != nil {
		return err
	}
	if err := e.keepTest(ctx, m, c, t); err != nil {
		return err
	}
	e.printf("A file was written and read back.\n%s\n", weakWords(t, c))
	if t.Free >= 0 {
		e.printf("Free there: %d MB.\n", t.Free>>20)
	}
	return nil
}

// tryPlace writes to a place, and tries what else could be done there.
func (e *env) tryPlace(ctx context.Context, m *store.Mirror, c config.Copy) (offsite.Tested, error) {
	p, err := e.openPlace(ctx, m, c)
	if err != nil {
		return offsite.Tested{}, err
	}
	defer p.Close() // nothing is open there any more
	return offsite.Test(ctx, m, p)
}

// keepTest records what the test of a place found.
func (e *env) keepTest(ctx context.Context, m *store.Mirror, c config.Copy, t offsite.Tested) error {
	rec := copyRecord{Result: offsite.Result{Place: c.Name, What: "test", Started: e.now().UTC()}, Tested: &t}
	return keepRecord(ctx, m, store.RunSpec{Source: c.Name, Kind: testedRun}, rec.verdict(), rec)
}

// weakWords say what could be done to a copy with what this computer knows.
func weakWords(t offsite.Tested, c config.Copy) string {
	switch {
	case !t.Weak():
		return "It could not be overwritten or removed with this computer's own sign-in: good."
	case c.Office():
		return "It could be removed: whoever controls this computer can erase a disk that is plugged in.\nLet two disks take turns, so that one is always somewhere else."
	case t.Deletes:
		return "WEAK: it could be removed with this computer's own sign-in, so whoever takes this\ncomputer can remove the copy. Ask for an account that may only add files, or for object lock."
	}
	return "WEAK: it could be overwritten with this computer's own sign-in, so whoever takes this\ncomputer can destroy the copy. Ask for an account that may only add files, or for object lock."
}

// copyOut says whether a disk can be taken out.
func (e *env) copyOut(ctx context.Context, name string) error {
	return e.withMirror(ctx, access{doing: "copy safe-to-remove"}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		c, err := s.Copy(name)
		if err != nil {
			return usage(err.Error())
		}
		list, err := e.outWords(ctx, m, c)
		if err == nil {
			e.printf("%s\n", strings.Join(list, "\n"))
		}
		return err
	})
}

// outWords look what is on a disk, and say whether it can be taken out.
func (e *env) outWords(ctx context.Context, m *store.Mirror, c config.Copy) ([]string, error) {
	if !c.Office() {
		return nil, usage(c.Name + " is no disk that could be taken out")
	}
	if d := e.daemon.get(); d != nil && d.busyWith(c.Name) {
		return nil, &plainError{exitBusy, "NOT YET: a copy is being written to the disk.", nothingLost, "Wait until it has ended: chartcellar copy safe-to-remove " + c.Name}
	}
	p, err := e.openPlace(ctx, m, c)
	if err != nil {
		return nil, err
	}
	defer p.Close() // only looked at
	held, err := offsite.Read(ctx, p)
	if err != nil {
		return nil, err
	}
	s, err := e.settings()
	if err != nil {
		return nil, err
	}
	want, apart, err := offsite.Wanted(m, held, offsite.Options{Place: c.Name, Only: onlyBy(s)})
	if err != nil {
		return nil, err
	}
	lacks := 0
	for _, f := range want {
		if size, there := held.Size(f.Name); !there || size != f.Size {
			lacks++
		}
	}
	list := []string{"Every file that was written has been synced to the disk: it can be taken out now."}
	switch {
	case held.Empty():
		list = append(list, "There is no copy of this mirror on it.")
	case lacks == 0:
		list = append(list, "It holds everything that the office copy holds now.")
	default:
		list = append(list, fmt.Sprintf("It lacks %d of the newest files; everything older is on it. For those: chartcellar copy now %s", lacks, c.Name))
	}
	for _, a := range apart {
		list = append(list, a.Words())
	}
	return append(list, "Take it to another place than the office. Next disk: plug it in, and it is filled by itself."), nil
}
