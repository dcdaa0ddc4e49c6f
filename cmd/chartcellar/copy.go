package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/offsite"
)

func copyCommand(e *env) *cobra.Command {
	c := command("copy", "Keep second copies of the office copy at places you control",
		`A second copy is a folder or a USB disk, a server that speaks SFTP, or a bucket that
speaks S3. It is sealed as the office copy is, and nothing in it is ever changed or
removed from here. Without a word behind it, copy lists them.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.copyList(ctx) })
	one := func(use, short, long string, f func(context.Context, string) error) *cobra.Command {
		return command(use+" [NAME]", short, long, cobra.MaximumNArgs(1),
			func(ctx context.Context, a []string) error { return f(ctx, strings.Join(a, "")) })
	}
	var all, anew bool
	check := one("verify", "Compare a second copy with the office copy",
		`verify compares every name and size, and reads one thirtieth of the files; --all reads
every byte. It writes nothing there. Exit code 13 if something is wrong.`,
		func(ctx context.Context, name string) error { return e.copyCheck(ctx, name, all) })
	check.Flags().BoolVar(&all, "all", false, "read every byte")
	now := one("now", "Bring a second copy up to date now",
		`Only files that are not there yet are sent. Broken off, it goes on where it stopped.
A place that is empty although a copy was complete there is not filled again: the disk
may not be plugged in, or somebody has removed the copy. --anew fills it all the same,
and is for a new disk, too.`,
		func(ctx context.Context, name string) error { return e.copyNow(ctx, name, anew) })
	now.Flags().BoolVar(&anew, "anew", false, "begin the copy again where it is gone, or on a new disk")
	c.AddCommand(copyAddCommand(e), copyPhraseCommand(e), copyRenewCommand(e), copyAnswerCommand(e), check,
		command("list", "List the second copies, and how they stand", "", cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.copyList(ctx) }),
		one("test", "Test a place: write a file, read it, try to overwrite and to remove it", "", e.copyTest),
		now,
		one("safe-to-remove", "Say whether the disk can be taken out",
			"It says so if a copy is being written to it just now, and what is on the disk.", e.copyOut))
	return c
}

// An addedCopy is what copy add is told.
type addedCopy struct {
	config.Copy
	password bool
}

func copyAddCommand(e *env) *cobra.Command {
	var o addedCopy
	c := command("add NAME", "Add a place for a second copy, and test it",
		`Give one of --folder, --sftp and --s3.

For SFTP this computer makes a key of its own: the first call prints the line for the
server's authorized_keys and the fingerprint that the server shows. Compare that with
what its operator tells you, and call again with --host-key. --password uses a password
instead (CHARTCELLAR_COPY_SECRET). The secret key of a bucket is asked for likewise.

A place at somebody else's counts as yours only when it is known whose account it is
(--ours practice), who else can delete what lies there (--deletes), and since when there
is an agreement with whoever keeps it (--agreement).`,
		cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
			o.Name = a[0]
			return e.copyAdd(ctx, o)
		})
	f := c.Flags()
	f.StringVar(&o.Folder, "folder", "", "a folder or a USB disk; it must exist")
	f.StringVar(&o.SFTP, "sftp", "", "user@host:port/path")
	f.StringVar(&o.HostKey, "host-key", "", "fingerprint of the SFTP server, SHA256:...")
	f.BoolVar(&o.password, "password", false, "the SFTP server wants a password")
	f.StringVar(&o.S3, "s3", "", "https://host/bucket, or https://host/bucket/prefix")
	f.StringVar(&o.Region, "region", "", "region of the bucket")
	f.StringVar(&o.AccessKey, "access-key", "", "access key of the bucket")
	f.IntVar(&o.LockDays, "lock-days", 0, "for how long a bucket with object lock keeps each file")
	f.IntVar(&o.Disks, "disks", 0, "how many USB disks take turns at the folder")
	f.StringVar(&o.At, "at", "", `when it is brought up to date (default "daily 05:00")`)
	f.StringVar(&o.Hours, "hours", "", `send files only then, such as "20:00-07:00"`)
	f.IntVar(&o.RateMbit, "rate-mbit", 0, "megabits a second at most")
	answerFlags(c, &o.Copy)
	return c
}

func copyRenewCommand(e *env) *cobra.Command {
	var password bool
	c := command("renew NAME", "Give the sign-in of a place again, after a restore or when it was changed there",
		`For SFTP it prints the key with which this computer signs in, for authorized_keys of the
account; with --password, and for a bucket, it asks for the password or secret key
(CHARTCELLAR_COPY_SECRET). Then it tests the place.`, cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
			return e.copyRenew(ctx, a[0], password)
		})
	c.Flags().BoolVar(&password, "password", false, "the SFTP server wants a password")
	return c
}

func (e *env) copyRenew(ctx context.Context, name string, password bool) error {
	s, err := e.settings()
	if err != nil {
		return err
	}
	c, err := s.Copy(name)
	if err != nil {
		return usage(err.Error())
	}
	a := access{doing: "copy renew", write: true}
	if c.S3 != "" || password {
		a.asks, a.what = "CHARTCELLAR_COPY_SECRET", "Password of the account, or secret key of the bucket"
	}
	return e.withMirror(ctx, a, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		if a.asks != "" {
			secret, err := e.askSecret(a.asks, a.what)
			if err != nil {
				return err
			}
			if err := m.PutSecret(copySecretName(c), []byte(secret)); err != nil {
				return err
			}
		} else if c.SFTP != "" {
			if err := e.copyKey(ctx, m, addedCopy{Copy: c}, "add"); err != nil {
				return err
			}
		}
		return e.testCopy(ctx, m, c)
	})
}

func answerFlags(c *cobra.Command, o *config.Copy) {
	c.Flags().StringVar(&o.Ours, "ours", "", `whose account it is: "practice", or whose`)
	c.Flags().StringVar(&o.Deletes, "deletes", "", `who else can delete what lies there: "nobody", or who`)
	c.Flags().StringVar(&o.Agreement, "agreement", "", "day of the agreement with whoever keeps it, as 2026-03-01")
}

// answerEdits are the answers that were given about a place.
func answerEdits(c config.Copy) (edits []config.Edit) {
	for _, one := range []struct{ key, value string }{{"ours", c.Ours}, {"deletes", c.Deletes}, {"agreement", c.Agreement}} {
		if one.value != "" {
			edits = append(edits, config.Edit{Section: "copy " + c.Name, Key: one.key, Value: one.value})
		}
	}
	return edits
}

func copyAnswerCommand(e *env) *cobra.Command {
	var o config.Copy
	c := command("answer NAME", "Answer whose a place is", "", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		return e.withMirror(ctx, access{doing: "copy answer", write: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
			c, err := s.Copy(a[0])
			if err != nil {
				return usage(err.Error())
			}
			o.Name = c.Name
			edits := answerEdits(o)
			if len(edits) == 0 {
				return usage("say --ours, --deletes or --agreement")
			}
			if err := e.changeSettings(m, "owner", edits...); err != nil {
				return err
			}
			return e.showCopies(m)
		})
	})
	answerFlags(c, &o)
	return c
}

func (e *env) copyTest(ctx context.Context, name string) error {
	return e.withMirror(ctx, access{doing: "copy test", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		c, err := s.Copy(name)
		if err != nil {
			return usage(err.Error())
		}
		return e.testCopy(ctx, m, c)
	})
}

// copyNow copies, in the process that runs by itself if there is one.
func (e *env) copyNow(ctx context.Context, name string, anew bool) error {
	return e.withMirror(ctx, access{doing: "copy", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		return e.copyJob(ctx, s, m, name, copying{kind: schedule.Copy, anew: anew})
	})
}

func (e *env) copyCheck(ctx context.Context, name string, all bool) error {
	return e.withMirror(ctx, access{doing: "copy verify", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		days := []int{e.now().YearDay() % schedule.Thirtieths}
		if all {
			days = nil
		}
		return e.copyJob(ctx, s, m, name, copying{kind: schedule.CopyCheck, days: days})
	})
}

// A copying is what is done with a second copy.
type copying struct {
	kind   schedule.Kind // Copy or CopyCheck
	anew   bool          // also where it is gone
	days   []int         // which thirtieths a check reads; nil: all
	events func(done, all int, bytes int64)
}

// copyJob makes or checks a copy and prints what it came to.
func (e *env) copyJob(ctx context.Context, s config.Settings, m *store.Mirror, name string, job copying) error {
	c, err := s.Copy(name)
	if err != nil {
		return usage(err.Error())
	}
	var rec copyRecord
	if d := e.daemon.get(); d != nil && job.kind == schedule.Copy && !job.anew {
		rec, err = d.copyNow(ctx, c)
	} else {
		rec, err = e.copyOnce(ctx, s, m, c, job)
	}
	if rec.What != "" && (err == nil || rec.Files > 0) {
		if e.json {
			err = errors.Join(err, e.printJSON(rec))
		} else {
			e.printf("%s\n", strings.Join(rec.notes(), "\n"))
		}
	}
	switch {
	case err != nil:
		return err
	case len(rec.Wrong) > 0:
		return quiet(exitDamage)
	case !rec.Complete():
		return quiet(exitFailed)
	}
	return nil
}

// copyOnce makes or checks one copy, and keeps what it came to.
func (e *env) copyOnce(ctx context.Context, s config.Settings, m *store.Mirror, c config.Copy, job copying) (copyRecord, error) {
	rec := copyRecord{Result: offsite.Result{Place: c.Name, Started: e.now().UTC()}}
	o := offsite.Options{Place: c.Name, Now: e.now, Only: onlyBy(s), Slices: job.days, Events: job.events}
	if !job.anew {
		o.New = func() error { return notEmptied(m, c) }
	}
	spec := store.RunSpec{Source: c.Name, Kind: copyRun}
	var p offsite.Place
	extras, err := e.extrasOf(s, m, c)
	if err == nil {
		o.Extras = extras
		p, err = e.openPlace(ctx, m, c)
	}
	if err == nil {
		defer p.Close() // nothing is open there any more
		if job.kind == schedule.CopyCheck {
			spec.Kind = checkRun
			o.Upto = func(disk string) int { return completeUpto(m, c.Name, disk) }
			rec.Result, err = offsite.Check(ctx, m, p, o)
		} else {
			rec.Result, err = offsite.Copy(ctx, m, p, o)
		}
	}
	if err != nil {
		rec.Error, rec.Lasting, rec.Fenced = explain(err).What, permanent(err), errors.Is(err, offsite.ErrFenced)
		if e.sameTrouble(m, spec, rec) {
			return rec, err
		}
	}
	code := "copy.offsite"
	if job.kind == schedule.CopyCheck {
		code = "copy.offsitecheck"
	}
	if err := m.Journal(store.Event{Code: code, Account: "schedule", Key: store.Key{Source: c.Name}, Count: rec.Copied}); err != nil {
		return rec, err
	}
	return rec, errors.Join(err, keepRecord(context.WithoutCancel(ctx), m, spec, rec.verdict(), rec))
}

// sameTrouble reports whether the last try of this day came to nothing for the same
// reason: a disk that is not there is told once a day.
func (e *env) sameTrouble(m *store.Mirror, spec store.RunSpec, rec copyRecord) bool {
	runs, err := m.Runs()
	if err != nil {
		return false
	}
	for _, r := range runs {
		if r.Source == spec.Source && r.Kind == spec.Kind {
			return r.Verdict == rec.verdict() && e.now().Sub(r.Ended) < 20*time.Hour && recordOfCopy(m, r).Error == rec.Error
		}
	}
	return false
}

// notes say what a copy, a check or a test came to.
func (r copyRecord) notes() (list []string) {
	say := func(format string, a ...any) { list = append(list, fmt.Sprintf(format, a...)) }
	switch {
	case r.Tested != nil:
		say("The place of the second copy %s was tested: a file was written and read back.", r.Place)
		if r.Tested.Weak() {
			say("It could be overwritten or removed with this computer's own sign-in.")
		}
		return list
	case r.Files == 0 && r.Error != "":
	case r.What == "check":
		say("Second copy %s: %d of %d files are there, %d were read and are what was written.", r.Place, r.There, r.Files, r.Read)
	default:
		say("Second copy %s: %d of %d files are there; %d were sent now (%d KB), and each was read back.", r.Place, r.There, r.Files, r.Copied, r.Bytes>>10)
	}
	for _, w := range r.Wrong {
		say("WRONG  %s, %s: %s", w.File, map[bool]string{false: "there", true: "in the office copy"}[w.Here], w.What)
	}
	switch {
	case r.Error != "":
		say("NOT COMPLETE: %s", r.Error)
	case r.Complete() && r.What == "copy":
		say("It is complete up to checkpoint %d.", r.Checkpoint)
	case r.Complete():
		say("Nothing is wrong.")
	case len(r.Wrong) > 0:
		say("Everything that is not named above is good. Delete nothing. Next: chartcellar repair")
	}
	if r.NotChecked != "" {
		say("Not checked: %s", r.NotChecked)
	}
	return list
}

func (e *env) copyList(ctx context.Context) error {
	return e.withMirror(ctx, access{doing: "copy list"}, func(_ context.Context, _ config.Settings, m *store.Mirror) error {
		return e.showCopies(m)
	})
}

func (e *env) showCopies(m *store.Mirror) error {
	s, err := e.settings()
	if err != nil {
		return err
	}
	runs, err := m.Runs()
	if err != nil {
		return err
	}
	states := copyStates(s, m, runs)
	if e.json {
		return e.printJSON(states)
	}
	if len(states) == 0 {
		e.printf("There is no second copy. If this computer burns or is stolen, the records here are gone.\nNext: chartcellar copy add NAME --folder FOLDER\n")
	}
	for i, st := range states {
		check := st.check(s.Copies[i], s, e.now())
		e.printf("%-16s %s\n%-16s %s\n", st.Name, st.Where, "", st.words(check, e.now()))
		for _, w := range st.Missing {
			e.printf("%-16s not yet yours: %s\n", "", w)
		}
		for _, a := range st.Last.Apart {
			e.printf("%-16s %s\n", "", a.Words())
		}
		if st.Tested != nil && st.Tested.Weak() && !s.Copies[i].Office() {
			e.printf("%-16s %s\n", "", strings.ReplaceAll(weakWords(*st.Tested, s.Copies[i]), "\n", "\n"+strings.Repeat(" ", 17)))
		}
	}
	return nil
}

// words say how a copy stands.
func (st copyState) words(c health.Check, now time.Time) string {
	if st.Ended.IsZero() {
		return "nothing was copied yet"
	}
	text := "never complete"
	if !st.Complete.IsZero() {
		text = fmt.Sprintf("complete as of %s, %s old", st.Complete.Local().Format("2006-01-02 15:04"), health.Age(now.Sub(st.Complete)))
	}
	if st.Last.Error != "" && !st.Last.Lasting {
		text += "; the last try: " + strings.TrimSuffix(st.Last.Error, ".")
	}
	switch {
	case c.Answer == health.Stale:
		text += "; LATE"
	case c.Words != "":
		text += "; " + c.Words
	}
	return text
}
