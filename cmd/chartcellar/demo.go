package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/archive"
)

func demoCommand(e *env) *cobra.Command {
	var o demoOptions
	c := command("demo", "Show the whole thing on an invented practice, without a network",
		`demo invents a practice, starts an EMR in a box, pulls it, changes some records,
pulls again, kills a pull in the middle and goes on, verifies every byte, and opens
a record with other people's programs. Then it serves the pages of that practice until
Ctrl-C; --once ends before. It leaves nothing behind, except with --keep.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.demo(ctx, o) })
	c.Flags().StringVar(&o.data, "data", "", "folder of NDJSON files to use instead of an invented practice")
	c.Flags().IntVar(&o.patients, "patients", 60, "how many patients to invent")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "another number invents other patients")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave the mirror behind, and print how to try commands by hand")
	c.Flags().BoolVar(&o.once, "once", false, "end without serving the pages")
	return c
}

type demoOptions struct {
	data     string
	patients int
	seed     uint64
	keep     bool
	once     bool
}

// A demo is one show. Every figure it prints is computed in it.
type demo struct {
	e        *env
	o        demoOptions
	dir      string
	settings string
	sheet    string
	emr      *fakeemr.EMR
	began    time.Time
}

func (e *env) demo(ctx context.Context, o demoOptions) error {
	dir, err := os.MkdirTemp("", "chartcellar-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	d := &demo{e: e, o: o, dir: dir, settings: filepath.Join(dir, "settings", "settings.toml"),
		sheet: filepath.Join(dir, "settings", "recovery-sheet.txt"), began: time.Now()}
	err = d.show(ctx)
	if d.emr != nil {
		err = errors.Join(err, d.emr.Close())
	}
	if !o.keep {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func (d *demo) say(format string, a ...any) { d.e.printf(format+"\n", a...) }

func (d *demo) show(ctx context.Context) error {
	steps := []func(context.Context) error{d.practice, d.initMirror, d.firstPull, d.secondPull, d.killed,
		d.verify, d.openPlain, d.secondCopy, d.drill, d.damage, d.summary}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if d.o.keep {
		d.tryByHand()
	}
	if d.o.once {
		return nil
	}
	return d.serve(ctx)
}

// practice starts the EMR in a box.
func (d *demo) practice(context.Context) error {
	o := fakeemr.Options{Practice: fakeemr.Practice{Patients: d.o.patients, Seed: d.o.seed}, Folder: d.o.data,
		HideBinary: true} // documents come by their address, as from many EMRs
	emr, err := fakeemr.Start(o)
	if err != nil {
		return err
	}
	d.emr = emr
	n := 0
	for _, t := range emr.Listed() {
		err := emr.EachAt(t, emr.Clock().Now(), func(string, []byte) error { n++; return nil })
		if err != nil {
			return err
		}
	}
	d.say("THE EMR    An EMR in a box holds %d records of %d types. It speaks SMART and FHIR on this computer.", n, len(emr.Listed()))
	return nil
}

// command runs a chartcellar command in this process.
func (d *demo) command(ctx context.Context, args ...string) (string, int) {
	var out, errs bytes.Buffer
	code := run(ctx, &env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: d.e.Getenv},
		append([]string{"--config", d.settings}, args...))
	return out.String() + errs.String(), code
}

func (d *demo) initMirror(ctx context.Context) error {
	if out, code := d.command(ctx, "init", "--data", filepath.Join(d.dir, "mirror"), "--practice", "Demo practice",
		"--key-file", filepath.Join(d.dir, "settings", "office.key"), "--reserve-mb", "64"); code != exitGood {
		return fmt.Errorf("demo: init: %s", out)
	}
	ca := filepath.Join(d.dir, "settings", "ca.pem")
	if err := writePrivate(ca, d.emr.CAPEM()); err != nil {
		return err
	}
	out, code := d.command(ctx, "connect", "signing-key", "emr")
	if code != exitGood {
		return fmt.Errorf("demo: signing key: %s", out)
	}
	if err := d.emr.RegisterKey("demo", []byte(out)); err != nil {
		return err
	}
	out, code = d.command(ctx, "connect", "emr", "--base", d.emr.BaseURL(), "--level", "system", "--client-id", "demo",
		"--ca", ca, "--local", "--rate", "-1")
	if code != exitGood {
		return fmt.Errorf("demo: connect: %s", out)
	}
	d.say("CONNECTED  Signed in with a key made on this computer; the EMR checked its signature.")
	return nil
}

// pull runs `sync` and returns its report.
func (d *demo) pull(ctx context.Context, args ...string) (fhirsync.Report, error) {
	var r fhirsync.Report
	var out, errs bytes.Buffer
	code := run(ctx, &env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: d.e.Getenv},
		append([]string{"--config", d.settings, "--json", "sync"}, args...))
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("demo: sync: %s", errs.String())
	}
	if code != exitGood && code != exitGaps {
		return r, fmt.Errorf("demo: sync: %s", r.Verdict)
	}
	return r, nil
}

func total(r fhirsync.Report) (sum fhirsync.TypeRow) {
	for _, t := range r.Types {
		sum.Add(t.Count)
	}
	return sum
}

func (d *demo) firstPull(ctx context.Context) error {
	start := time.Now()
	r, err := d.pull(ctx)
	if err != nil {
		return err
	}
	took := time.Since(start)
	t := total(r)
	d.say("FIRST PULL %s: %d records in %d files, %.1f MB, in %.1f s.", r.Verdict, t.New, r.Files, float64(r.Bytes)/1e6, took.Seconds())
	if a := r.Attachments; a.Wanted > 0 {
		d.say("           Of %d documents that the records name, %d were fetched, checked and sealed, %d are records of their own, %d could not be had.",
			a.Wanted, a.Stored, a.Held, a.Missing+a.Waiting)
	}
	compared, equal := 0, 0
	for _, row := range r.Certificate().Types {
		if row.EMR >= 0 {
			compared++
			if row.Difference == 0 {
				equal++
			}
		}
	}
	d.say("           The EMR was asked how many records it has: of %d types, %d agree with what is here.", compared, equal)
	return d.compare(ctx)
}

// compare compares the mirror with the EMR's own ledger, byte for byte.
func (d *demo) compare(ctx context.Context) error {
	return d.mirror(ctx, func(m *store.Mirror) error {
		snap, err := m.Now()
		if err != nil {
			return err
		}
		n := 0
		for _, typ := range d.emr.Listed() {
			want := map[[32]byte]int{}
			err := d.emr.EachAt(typ, d.emr.Clock().Now(), func(_ string, line []byte) error {
				want[sha256.Sum256(line)]++
				return nil
			})
			if err != nil {
				return err
			}
			err = snap.Each(ctx, "emr", typ, func(_ string, raw []byte) error {
				n++
				if want[sha256.Sum256(raw)]--; want[sha256.Sum256(raw)] < 0 {
					return fmt.Errorf("demo: a record of type %s is not what the EMR holds", typ)
				}
				return nil
			})
			if err != nil {
				return err
			}
			for _, left := range want {
				if left != 0 {
					return fmt.Errorf("demo: records of type %s are missing", typ)
				}
			}
		}
		d.say("           Compared with the EMR: all %d records are equal, byte for byte.", n)
		return nil
	})
}

// mirror opens the demo's mirror.
func (d *demo) mirror(ctx context.Context, f func(*store.Mirror) error) error {
	e := &env{Stdin: strings.NewReader(""), Stdout: d.e.Stdout, Stderr: d.e.Stderr, Getenv: d.e.Getenv, config: d.settings}
	return e.withMirror(ctx, access{doing: "demo", key: true}, func(_ context.Context, _ config.Settings, m *store.Mirror) error { return f(m) })
}

func (d *demo) secondPull(ctx context.Context) error {
	day, err := d.emr.Changes(1)
	if err != nil {
		return err
	}
	d.say("NEXT DAY   The EMR has %d new, %d edited and %d deleted records.", sum(day.Created), sum(day.Edited), sum(day.Deleted))
	r, err := d.pull(ctx)
	if err != nil {
		return err
	}
	t := total(r)
	d.say("2ND PULL   %s: only %d records came: %d new, %d changed, %d removed at the EMR (kept here).", r.Verdict, t.Lines, t.New, t.Changed, t.Removed)
	return d.compare(ctx)
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// killed starts a pull in another process, kills it while the EMR sends a file,
// and goes on.
func (d *demo) killed(ctx context.Context) error {
	if _, err := d.emr.Changes(2); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: find the program: %w", err)
	}
	child := exec.CommandContext(ctx, self, "--config", d.settings, "--json", "sync")
	struck := make(chan error, 1)
	if err := child.Start(); err != nil {
		return fmt.Errorf("demo: start a pull: %w", err)
	}
	d.emr.Set(fakeemr.Faults{OnFile: func(int) {
		select {
		case struck <- child.Process.Kill():
		default:
		}
	}})
	werr := child.Wait()
	d.emr.Set(fakeemr.Faults{})
	if werr == nil {
		return errors.New("demo: the pull ended before it was killed")
	}
	if err := <-struck; err != nil {
		return fmt.Errorf("demo: kill the pull: %w", err)
	}
	before, err := d.lastPart(ctx)
	if err != nil {
		return err
	}
	kicked := d.emr.Served().KickOffs
	d.say("POWER CUT  A pull was killed while a file was coming in. Safe on the disk: everything up to part %d.", before)
	r, err := d.pull(ctx)
	if err != nil {
		return err
	}
	after, err := d.lastPart(ctx)
	if err != nil {
		return err
	}
	t := total(r)
	d.say("GOING ON   %s: run %d went on (continued: %v) with the same export (%d more were asked for) up to part %d: %d new, %d changed.",
		r.Verdict, r.Run, r.Resumed, d.emr.Served().KickOffs-kicked, after, t.New, t.Changed)
	return d.compare(ctx)
}

func (d *demo) lastPart(ctx context.Context) (n uint32, err error) {
	err = d.mirror(ctx, func(m *store.Mirror) error {
		parts, err := m.Parts()
		for _, p := range parts {
			n = p.Number
		}
		return err
	})
	return n, err
}

func (d *demo) verify(ctx context.Context) error {
	out, code := d.command(ctx, "verify", "--depth", "full")
	if code != exitGood {
		return fmt.Errorf("demo: verify: %s", out)
	}
	for line := range strings.Lines(out) {
		d.say("VERIFIED   %s", strings.TrimSpace(line))
	}
	return nil
}

// openPlain opens a part with age and zstd, if this computer has them.
func (d *demo) openPlain(ctx context.Context) error {
	key := filepath.Join(d.dir, "settings", "key.txt")
	text, err := os.ReadFile(d.sheet)
	if err != nil {
		return err
	}
	id, err := d.e.identity(config.Settings{}, access{sheet: d.sheet}, nil, new(string))
	if err != nil || len(text) == 0 {
		return errors.Join(err, errors.New("demo: the recovery sheet cannot be read"))
	}
	if err := writePrivate(key, []byte(fmt.Sprint(id)+"\n")); err != nil {
		return err
	}
	part := filepath.Join(d.dir, "mirror", archive.PartNumber(2).Name())
	shown := "age -d -i key.txt " + filepath.ToSlash(archive.PartNumber(2).Name()) + " | zstd -d"
	_, aerr := exec.LookPath("age")
	_, zerr := exec.LookPath("zstd")
	if aerr != nil || zerr != nil {
		d.say("WITHOUT US This computer has no age and zstd to show it with. The command is:\n             %s", shown)
		return nil
	}
	lines, err := plainLines(ctx, key, part)
	if err != nil {
		return err
	}
	d.say("WITHOUT US With the key from the recovery sheet and other people's programs:\n             %s\n           prints %d records. One of them begins: %.60s...", shown, len(lines), lines[0])
	return nil
}

// plainLines decrypts a part with age and zstd.
func plainLines(ctx context.Context, key, part string) ([]string, error) {
	open := exec.CommandContext(ctx, "age", "-d", "-i", key, part)
	unpack := exec.CommandContext(ctx, "zstd", "-d", "-c")
	var err error
	if unpack.Stdin, err = open.StdoutPipe(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	unpack.Stdout = &out
	if err := open.Start(); err != nil {
		return nil, err
	}
	if err := errors.Join(unpack.Run(), open.Wait()); err != nil {
		return nil, fmt.Errorf("demo: open a part with age and zstd: %w", err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), nil
}

// asked runs a command that prints JSON.
func (d *demo) asked(ctx context.Context, to any, args ...string) error {
	var out, errs bytes.Buffer
	code := run(ctx, &env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: d.e.Getenv},
		append([]string{"--config", d.settings, "--json"}, args...))
	if err := json.Unmarshal(out.Bytes(), to); err != nil || code != exitGood {
		return fmt.Errorf("demo: %s: %s%s", args[0], out.String(), errs.String())
	}
	return nil
}

// secondCopy makes a second copy in a folder.
func (d *demo) secondCopy(ctx context.Context) error {
	place := filepath.Join(d.dir, "second")
	if err := os.Mkdir(place, 0o700); err != nil {
		return err
	}
	if out, code := d.command(ctx, "copy", "add", "disk", "--folder", place); code != exitGood {
		return fmt.Errorf("demo: copy add: %s", out)
	}
	var r copyRecord
	if err := d.asked(ctx, &r, "copy", "now", "disk"); err != nil {
		return err
	}
	d.say("2ND COPY   %d of %d files went to a folder that stands for a disk elsewhere; each was read back and compared.", r.Copied, r.Files)
	return nil
}

// drill proves that it comes back with the sheet alone.
func (d *demo) drill(ctx context.Context) error {
	var r drillRecord
	if err := d.asked(ctx, &r, "drill", "disk", "--person", "demo", "--sheet", d.sheet); err != nil {
		return err
	}
	d.say("DRILL      With the printed key alone it came back in %.1f s: %d records read, %d patients (%d records) compared, %d differ.",
		r.Took.Seconds(), r.Records, r.Patients, r.Compared, r.Differ+r.Lacking)
	return nil
}

// damage changes a byte on the disk, and has it found and mended.
func (d *demo) damage(ctx context.Context) error {
	part := filepath.Join(d.dir, "mirror", filepath.FromSlash(archive.PartNumber(2).Name()))
	b, err := os.ReadFile(part)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return err
	}
	_, found := d.command(ctx, "verify")
	out, code := d.command(ctx, "repair", "--deep")
	if code != exitGood {
		return fmt.Errorf("demo: repair: %s", out)
	}
	again, code := d.command(ctx, "verify")
	if found != exitDamage || code != exitGood {
		return fmt.Errorf("demo: verify said %d, then %d: %s", found, code, again)
	}
	d.say("DAMAGE     One byte on the disk was changed: verify found it, repair mended it from the second copy, verify is good again.")
	return nil
}

func (d *demo) summary(ctx context.Context) error {
	return d.mirror(ctx, func(m *store.Mirror) error {
		st, err := gather(config.Settings{Sources: []config.Source{{Name: "emr"}}}, m)
		if err != nil {
			return err
		}
		size, err := folderSize(filepath.Join(d.dir, "mirror", "parts"))
		if err != nil {
			return err
		}
		missing := "nothing that the EMR offers"
		if len(st.Sources[0].Gaps) > 0 {
			missing = fmt.Sprintf("%d things, named by: chartcellar gaps", len(st.Sources[0].Gaps))
		}
		d.say("")
		d.say("WHAT YOU HAVE   %d records of %d patients, sealed, in %.1f MB on this computer.", st.Records, st.Patients, float64(size)/1e6)
		at, but := st.Sources[0].LastComplete, ""
		if at.IsZero() {
			at, but = st.Sources[0].LastRun, ", "+string(st.Sources[0].LastVerdict)
		}
		d.say("HOW OLD         as of %s (%s)%s.", at.Local().Format("2006-01-02 15:04:05"), ago(at), but)
		d.say("WHAT IS MISSING %s. Not set up yet: alerts. A real second copy lies at another place.", missing)
		d.say("WITHOUT US      the recovery sheet, age and zstd open every part; see docs/without-chartcellar.md.")
		d.say("All this took %.1f s.", time.Since(d.began).Seconds())
		return nil
	})
}

func folderSize(dir string) (size int64, err error) {
	err = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// tryByHand says how a person goes on by himself.
func (d *demo) tryByHand() {
	d.say("\nThe mirror is kept. While this runs, try in another window:\n  export CHARTCELLAR_CONFIG=%s", d.settings)
	d.say("  chartcellar status\n  chartcellar sync\n  chartcellar runs list\n  chartcellar export %s --for ourselves --purpose \"to look at\"", filepath.Join(d.dir, "plain"))
	d.emr.Describe(d.e.Stdout, filepath.Join(d.dir, "settings", "ca.pem"), "demo")
	d.say("Remove %s when you are done.", d.dir)
}

// serve makes an owner and serves the pages until a person has seen enough.
func (d *demo) serve(ctx context.Context) error {
	password := accounts.NewCode()
	if err := d.owner(ctx, password); err != nil {
		return err
	}
	d.say("\nLOOK AT IT  Sign in as demo with the password %s at the address below: Home says how good the copy is, Patients has the charts.\n            Ctrl-C ends it%s.", password,
		map[bool]string{false: " and removes everything"}[d.o.keep])
	code := run(ctx, &env{Stdin: strings.NewReader(""), Stdout: d.e.Stdout, Stderr: d.e.Stderr, Getenv: d.e.Getenv},
		[]string{"--config", d.settings, "serve", "--listen", "127.0.0.1:0"})
	return quiet(code)
}

// owner makes the account of the demo.
func (d *demo) owner(ctx context.Context, password string) error {
	e := &env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: d.e.Getenv, config: d.settings}
	return e.withAccounts(ctx, "demo", func(a *accounts.Access) error {
		code, _, err := a.NewSetupCode()
		if err != nil {
			return err
		}
		_, err = a.SetUp(ctx, "this computer", accounts.FirstOwner{Code: code, Name: "demo", Display: "Dr. Demo", Password: password})
		return err
	})
}
