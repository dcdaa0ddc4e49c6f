package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/journal"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

func patient(id string) string { return fmt.Sprintf(`{"resourceType":"Patient","id":%q}`, id) }

func of(typ, id, patient string, n int) string {
	return fmt.Sprintf(`{"resourceType":%q,"id":%q,"subject":{"reference":"Patient/%s"},"n":%d}`, typ, id, patient, n)
}

const openRecord = "Observation/a"

// secrets are the records of p2 in withSecret.
var secrets = []string{"Patient/p2", "Observation/s", "Observation/moved", "Condition/gone", "DocumentReference/d"}

// withSecret is a mirror with an open patient p1 and a patient p2 who is to be sealed.
func withSecret(t testing.TB) *practice {
	t.Helper()
	p := newPractice(t)
	p.pull(t, patient("p1"), patient("p2"), of("Observation", "a", "p1", 1), of("Observation", "s", "p2", 1),
		of("Observation", "moved", "p1", 1), of("Condition", "gone", "p2", 1), of("DocumentReference", "d", "p2", 1))
	p.attach(t, "DocumentReference", "d", "Binary/1", []byte("secret content"))
	p.pull(t, of("Observation", "moved", "p2", 2), of("Observation", "a", "p1", 2), "-Condition/gone")
	return p
}

func ref(s string) store.Key {
	typ, id, _ := strings.Cut(s, "/")
	return store.Key{Source: "emr", Type: typ, ID: id}
}

func (p *practice) now(t testing.TB) *store.Snapshot {
	t.Helper()
	s, err := p.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// attach keeps a small attachment.
func (p *practice) attach(t testing.TB, typ, id, url string, content []byte) {
	t.Helper()
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	w := store.Want{Source: "emr", Type: typ, ID: id, URL: url}
	err = r.Attach(t.Context(), w, "text/plain", strings.NewReader(string(content)), func(store.Content) (string, error) { return "", nil })
	if err == nil {
		err = r.Close(t.Context(), store.Closing{States: index.RunStates{All: index.Applied}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readers are all ways to get a record out of a Snapshot: each returns what it gives of the
// records. A method that is not here fails TestSealedFromEveryReader.
var readers = map[string]func(context.Context, *store.Mirror, *store.Snapshot, []string) ([]string, error){
	"Latest": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, refs []string) (got []string, err error) {
		for _, r := range refs {
			if v, err := s.Latest(ctx, ref(r)); err == nil {
				got = append(got, v.Key.String())
			} else if !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
		}
		return got, nil
	},
	"History": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, refs []string) (got []string, err error) {
		for _, r := range refs {
			if list, err := s.History(ctx, ref(r)); err == nil {
				got = append(got, list[0].Key.String())
			} else if !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
		}
		return got, nil
	},
	"Compartment": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		for _, id := range []string{"p1", "p2"} {
			err := s.Compartment(ctx, "emr", id, func(v store.Version) error { got = append(got, v.Key.String()); return nil })
			if err != nil && !errors.Is(err, store.ErrSealed) {
				return nil, err
			}
		}
		return got, nil
	},
	"Readable": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		for _, id := range []string{"p1", "p2"} {
			_, err := s.Readable(ctx, "emr", id, func(v store.Version) error { got = append(got, v.Key.String()); return nil })
			if err != nil && !errors.Is(err, store.ErrSealed) {
				return nil, err
			}
		}
		return got, nil
	},
	"Changed": func(ctx context.Context, m *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		first, err := m.AsOf(1)
		for _, id := range []string{"p1", "p2"} {
			_, cerr := s.Changed(ctx, first, "emr", id, func(c store.Changed) error { got = append(got, c.Key.String()); return nil })
			if !errors.Is(cerr, store.ErrSealed) {
				err = errors.Join(err, cerr)
			}
		}
		return got, err
	},
	"Each": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		types, err := s.Types()
		for _, typ := range types {
			err = errors.Join(err, s.Each(ctx, "emr", typ, func(id string, _ []byte) error { got = append(got, typ+"/"+id); return nil }))
		}
		return got, err
	},
	"EachParallel": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		var mu sync.Mutex
		types, err := s.Types()
		for _, typ := range types {
			err = errors.Join(err, s.EachParallel(ctx, "emr", typ, 2, func(_ int, id string, _ []byte) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, typ+"/"+id)
				return nil
			}))
		}
		return got, err
	},
	"EachNew": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		types, err := s.Types()
		for _, typ := range types {
			fresh := func(m store.Mark) bool { return true }
			err = errors.Join(err, s.EachNew(ctx, "emr", typ, 1, fresh, func(_ int, _ store.Mark, id string, _ []byte) error {
				got = append(got, typ+"/"+id)
				return nil
			}))
		}
		return got, err
	},
	"ReadableParallel": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		var mu sync.Mutex
		for _, id := range []string{"p1", "p2"} {
			_, rerr := s.ReadableParallel(ctx, store.PatientRecords{Source: "emr", Patient: id}, 2, func(_ int, v store.Version) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, v.Key.String())
				return nil
			})
			if !errors.Is(rerr, store.ErrSealed) {
				err = errors.Join(err, rerr)
			}
		}
		return got, err
	},
	"ChangedBy": func(ctx context.Context, m *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		err = s.ChangedBy(ctx, 1, func() {}, func(w store.Whose) {
			if w == m.Whose("emr", "p2") {
				got = append(got, "Patient/p2")
			}
		})
		return append(got, openRecord), err
	},
	"Removed": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		err = s.Removed(ctx, "emr", "Condition", func(v store.Version) error { got = append(got, v.Key.String()); return nil })
		return append(got, openRecord), err
	},
	"Draw": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		list, err := s.Draw(ctx, "emr", 100, rand.New(rand.NewPCG(1, 2)))
		for _, v := range list {
			got = append(got, v.Key.String())
		}
		return got, err
	},
	"HeldRecords": func(ctx context.Context, m *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		held, err := m.Held("emr")
		if err != nil {
			return nil, err
		}
		for typ, h := range held {
			list, err := s.HeldRecords(ctx, "emr", typ, h)
			if err != nil {
				return nil, err
			}
			for _, one := range list {
				got = append(got, typ+"/"+one.ID)
			}
		}
		return append(got, openRecord), nil
	},
	"Attachments": func(_ context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		list, err := s.Attachments(ref("DocumentReference/d"))
		if len(list) > 0 {
			got = append(got, "DocumentReference/d")
		}
		if errors.Is(err, store.ErrSealed) {
			err = nil
		}
		return append(got, openRecord), err
	},
	"Attachment": func(ctx context.Context, _ *store.Mirror, s *store.Snapshot, _ []string) (got []string, err error) {
		_, r, err := s.Attachment(ctx, ref("DocumentReference/d"), "Binary/1")
		if err == nil {
			b, err := io.ReadAll(r)
			return []string{"DocumentReference/d", openRecord, string(b)}, errors.Join(err, r.Close())
		}
		if errors.Is(err, store.ErrSealed) {
			err = nil
		}
		return []string{openRecord}, err
	},
}

// noReaders are the methods of a Snapshot that give no record.
var noReaders = []string{"Counts", "CountOf", "Dated", "Types", "Sample", "Hidden", "Whole"}

// TestSealedFromEveryReader: no way to read gives anything of a sealed patient, and every
// way gives the same as before once the seal is off; the others see no difference.
func TestSealedFromEveryReader(t *testing.T) {
	t.Parallel()
	p := withSecret(t)
	p.run(t, index.RunStates{All: index.Held}, of("Observation", "s", "p2", 3))
	typ := reflect.TypeFor[*store.Snapshot]()
	for i := range typ.NumMethod() {
		name := typ.Method(i).Name
		if readers[name] == nil && !slices.Contains(noReaders, name) {
			t.Errorf("Snapshot.%s is a new way to read: say here that it gives nothing of a sealed patient", name)
		}
	}
	refs := append([]string{openRecord}, secrets...)
	secretsIn := func(what string, s *store.Snapshot) map[string]int {
		n := map[string]int{}
		for name, read := range readers {
			got, err := read(t.Context(), p.m, s, refs)
			if err != nil {
				t.Errorf("%s: %s = %v", what, name, err)
			}
			all := " " + strings.Join(got, " ") + " "
			if !strings.Contains(all, " "+openRecord+" ") {
				t.Errorf("%s: %s gave %q, without the open record", what, name, got)
			}
			for _, r := range secrets {
				n[name] += strings.Count(all, " "+r+" ")
			}
		}
		return n
	}
	before := secretsIn("before", p.now(t))
	for name := range readers {
		if before[name] == 0 {
			t.Errorf("before: %s gives nothing of the patient: this test proves nothing", name)
		}
	}
	early := p.now(t)
	counts, err := early.Counts("emr")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.m.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatalf("SealPatient = %v", err)
	}
	for what, s := range map[string]*store.Snapshot{"now": p.now(t), "a snapshot of before": early, "as of the last pull": asOf(t, p, 3)} {
		for name, n := range secretsIn(what, s) {
			if n > 0 {
				t.Errorf("%s: %s gives %d records of a sealed patient", what, name, n)
			}
		}
	}
	if got := secretsIn("whole", p.now(t).Whole()); !reflect.DeepEqual(got, before) {
		t.Errorf("Whole gives %v, want %v", got, before)
	}
	if got, err := p.now(t).Counts("emr"); err != nil || !reflect.DeepEqual(got, counts) {
		t.Errorf("Counts = %v, %v; want %v as before", got, err, counts)
	}
	for typ, want := range map[string]int{"Patient": 1, "Observation": 2, "DocumentReference": 1, "Condition": 0} {
		if n, err := p.now(t).Hidden("emr", typ); err != nil || n != want {
			t.Errorf("Hidden(%s) = %d, %v; want %d", typ, n, err, want)
		}
	}
	if err := p.m.UnsealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "it was right"}); err != nil {
		t.Fatalf("UnsealPatient = %v", err)
	}
	if got := secretsIn("after", early); !reflect.DeepEqual(got, before) {
		t.Errorf("after the seal is off: %v, want %v", got, before)
	}
}

func asOf(t testing.TB, p *practice, run uint32) *store.Snapshot {
	t.Helper()
	s, err := p.m.AsOf(run)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSealMoved: a record that went from one patient to another is hidden while its newest
// version is the sealed one's, and loses only its old versions if it is the other's.
func TestSealMoved(t *testing.T) {
	t.Parallel()
	p := withSecret(t)
	p.pull(t, of("Observation", "back", "p2", 1))
	p.pull(t, of("Observation", "back", "p1", 2))
	if err := p.m.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	s := p.now(t)
	if _, err := s.Latest(t.Context(), ref("Observation/moved")); !errors.Is(err, store.ErrSealed) {
		t.Errorf("moved to the sealed patient: Latest = %v; an older version must not pass for the newest", err)
	}
	list, err := s.History(t.Context(), ref("Observation/back"))
	if err != nil || len(list) != 1 || string(list[0].Raw) != of("Observation", "back", "p1", 2) {
		t.Errorf("moved back: History = %d versions, %v", len(list), err)
	}
	if v, err := s.Latest(t.Context(), ref("Observation/back")); err != nil || string(v.Raw) != of("Observation", "back", "p1", 2) {
		t.Errorf("moved back: Latest = %s, %v", v.Raw, err)
	}
	if v, err := asOf(t, p, 1).Latest(t.Context(), ref("Observation/moved")); err != nil || string(v.Raw) != of("Observation", "moved", "p1", 1) {
		t.Errorf("as of when it was the open patient's: Latest = %s, %v", v.Raw, err)
	}
	if _, err := asOf(t, p, 1).Latest(t.Context(), ref("Observation/s")); !errors.Is(err, store.ErrSealed) {
		t.Errorf("as of the first run: Latest = %v, want ErrSealed", err)
	}
	if got := p.changedText(t, asOf(t, p, 2), s, "p1"); got != "Observation/a 1>3, Observation/back none>5" {
		t.Errorf("Changed of the open patient = %s", got)
	}
	if _, err := p.now(t).History(t.Context(), ref("Condition/gone")); !errors.Is(err, store.ErrSealed) {
		t.Errorf("removed by the EMR: History = %v, want ErrSealed", err)
	}
}

// TestSealStays: the archive alone gives the seal again, and everything in it is good.
func TestSealStays(t *testing.T) {
	t.Parallel()
	p := withSecret(t)
	before := time.Now().Add(-time.Minute)
	if err := p.m.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "dr.a", Reason: "  sent by mistake "}); err != nil {
		t.Fatal(err)
	}
	check := func(what string, m *store.Mirror) {
		t.Helper()
		list, err := m.Sealed()
		if err != nil || len(list) != 1 || list[0].Patient != "p2" || list[0].Source != "emr" ||
			list[0].Reason != "sent by mistake" || list[0].By != "dr.a" || list[0].At.Before(before) {
			t.Errorf("%s: Sealed = %+v, %v", what, list, err)
		}
		s, err := m.Now()
		if err == nil {
			_, err = s.Latest(t.Context(), ref("Observation/s"))
		}
		if !errors.Is(err, store.ErrSealed) || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: Latest = %v, want ErrSealed", what, err)
		}
	}
	check("at once", p.m)
	p.reopen(t)
	check("opened again", p.m)
	if err := p.m.RebuildIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("index made anew", p.m)
	p.same(t)
	if res, err := verify.Run(t.Context(), p.m, verify.Options{Depth: verify.Full}); err != nil || !res.Good() {
		t.Errorf("verify = %+v, %v", res.Damage, err)
	}
	looked, err := store.Look(t.Context(), store.Options{Dir: p.copied(t), Identity: p.office})
	if err != nil {
		t.Fatal(err)
	}
	defer looked.Close() // only looked at
	check("a second copy", looked)
	if err := looked.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p1", By: "owner", Reason: "x"}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("SealPatient of what is only looked at = %v", err)
	}
	p.pull(t, of("Observation", "s", "p2", 9), of("Observation", "later", "p2", 1))
	check("after another pull", p.m)
	if got := p.latest(t, "Observation", "later"); got != "none" {
		t.Errorf("a record that came later is shown: %s", got)
	}
	p.m.Lock()
	list, err := p.m.Sealed()
	if err != nil || len(list) != 1 || list[0].Patient != "" || list[0].Reason != "" || list[0].By != "dr.a" {
		t.Errorf("locked: Sealed = %+v, %v; want one without a name", list, err)
	}
}

func TestSealRefused(t *testing.T) {
	t.Parallel()
	p := withSecret(t)
	ctx := t.Context()
	run, err := p.m.Begin(ctx, store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.m.SealPatient(ctx, store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "x"}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("while a run goes on: %v", err)
	}
	run.Abort()
	for _, c := range []struct {
		what, source, id, reason string
		want                     error
	}{
		{"no reason", "emr", "p2", " ", store.ErrNoReason},
		{"nobody", "emr", "", "x", store.ErrNotFound},
		{"an unknown patient", "emr", "p9", "x", store.ErrNotFound},
		{"a patient of another source", "other", "p2", "x", store.ErrNotFound},
	} {
		if err := p.m.SealPatient(ctx, store.SealOrder{Source: c.source, Patient: c.id, By: "owner", Reason: c.reason}); !errors.Is(err, c.want) {
			t.Errorf("%s: SealPatient = %v, want %v", c.what, err, c.want)
		}
	}
	if err := p.m.UnsealPatient(ctx, store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "x"}); !errors.Is(err, store.ErrNotSealed) {
		t.Errorf("UnsealPatient of an open patient = %v", err)
	}
	p.m.Lock()
	if err := p.m.SealPatient(ctx, store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "x"}); err != nil {
		t.Errorf("while the mirror is locked: SealPatient = %v", err)
	}
	if err := p.m.SealPatient(ctx, store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "x"}); !errors.Is(err, store.ErrSealed) {
		t.Errorf("twice: SealPatient = %v", err)
	}
	if err := p.m.Unlock(p.office); err != nil {
		t.Fatal(err)
	}
	var codes []string
	err = p.m.EachJournalLine(ctx, 0, func(l journal.Line) error {
		note, err := p.m.OpenNote(l)
		codes = append(codes, l.Code+" "+l.Account+" "+note)
		if l.Patient == "" || strings.Contains(l.Patient, "p2") {
			t.Errorf("the line is about the patient %q", l.Patient)
		}
		return err
	})
	if err != nil || strings.Join(codes, "; ") != "patient.seal owner x" {
		t.Errorf("journal: %q, %v; want one line for what was done", codes, err)
	}
	runs, err := p.m.Runs()
	if err != nil || runs[0].Kind != store.KindSeal || runs[0].Verdict != store.VerdictSealed {
		t.Fatalf("runs: %+v, %v", runs[0], err)
	}
	record, err := p.m.RunRecord(runs[0].Number)
	if err != nil || strings.Contains(string(record), `"p2"`) || strings.Contains(string(record), `"x"`) {
		t.Errorf("the record of the run names the patient: %s, %v", record, err)
	}
}

// TestSealCrash: whenever the disk fails, the patient is sealed or not, what is not
// reported as done can be done again, and nothing else changes.
func TestSealCrash(t *testing.T) {
	t.Parallel()
	base := withSecret(t)
	if err := base.m.Close(); err != nil {
		t.Fatal(err)
	}
	seal := func(p *practice) error {
		m, err := store.Open(t.Context(), p.options())
		if err != nil {
			return err
		}
		err = m.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "sent by mistake"})
		return errors.Join(err, m.Close())
	}
	probe := storetest.New(0, storetest.Fails)
	if err := seal(base.copyTo(t, probe)); err != nil {
		t.Fatal(err)
	}
	step := max(1, 2*probe.Ops() / *loops)
	for _, how := range []storetest.How{storetest.Fails, storetest.Happens, storetest.PowerCut} {
		for n := 1; n <= probe.Ops(); n += step {
			what := fmt.Sprintf("operation %d of %d, %d", n, probe.Ops(), how)
			d := storetest.New(n, how)
			p := base.copyTo(t, d)
			err := seal(p)
			if how == storetest.PowerCut {
				if err := d.Lose(rand.New(rand.NewPCG(uint64(n), 3))); err != nil {
					t.Fatal(err)
				}
			}
			p.fs = disk.OS{}
			p.open(t)
			list, serr := p.m.Sealed()
			if serr != nil || err == nil && len(list) != 1 {
				t.Errorf("%s: %v, and then Sealed = %+v, %v", what, err, list, serr)
			}
			if len(list) == 0 {
				if err := p.m.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "again"}); err != nil {
					t.Errorf("%s: again = %v", what, err)
				}
			}
			if got := p.latest(t, "Observation", "s") + p.latest(t, "Observation", "a"); got != "none"+of("Observation", "a", "p1", 2) {
				t.Errorf("%s: the records are %s", what, got)
			}
			p.same(t)
			if err := p.m.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A pointFS calls a function before and after each transaction of the index.
type pointFS struct {
	disk.OS
	around func()
}

// Point implements disk.FS.
func (f *pointFS) Point(name string) error {
	if strings.HasSuffix(name, " index commit") && f.around != nil {
		f.around()
	}
	return nil
}

// TestSealedFromItsGeneration: who reads the generation of the index that a seal makes is
// given nothing of the patient, however early: what was made of it may be kept.
func TestSealedFromItsGeneration(t *testing.T) {
	t.Parallel()
	base := withSecret(t)
	if err := base.m.Close(); err != nil {
		t.Fatal(err)
	}
	fs := &pointFS{}
	p := base.copyTo(t, fs)
	p.open(t)
	p.latest(t, "Observation", "s") // the seals are read once
	type read struct {
		generation uint64
		err        error
	}
	reads, looks, before := make(chan read, 100), 0, p.m.Generation()
	fs.around = func() {
		looks++
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := read{generation: p.m.Generation()}
			_, r.err = p.now(t).Latest(t.Context(), ref("Observation/s"))
			reads <- r
		}()
		for range 100_000 { // as long as a reader needs that need not wait
			select {
			case <-done:
				return
			default:
				runtime.Gosched()
			}
		}
	}
	if err := p.m.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	later := 0
	for range looks {
		r := <-reads
		if r.generation == before {
			continue
		}
		if later++; !errors.Is(r.err, store.ErrSealed) {
			t.Errorf("in generation %d, and the seal made %d: %v", r.generation, before+1, r.err)
		}
	}
	if later == 0 {
		t.Error("nobody read the generation of the seal")
	}
}

// TestSealLost: the part that holds the seal is declared lost, and the seal stands.
func TestSealLost(t *testing.T) {
	t.Parallel()
	p := withSecret(t)
	if err := p.m.SealPatient(t.Context(), store.SealOrder{Source: "emr", Patient: "p2", By: "owner", Reason: "sent by mistake"}); err != nil {
		t.Fatal(err)
	}
	parts, err := p.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("parts/000000/%012d.ndjson.zst.age", parts[len(parts)-1].Number)
	if err := os.Remove(filepath.Join(p.dir, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
	if err := p.m.DeclareLost(t.Context(), "owner", name); err != nil {
		t.Fatal(err)
	}
	if err := p.m.RebuildIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.latest(t, "Observation", "s"); got != "none" {
		t.Errorf("the seal went with its part: %s", got)
	}
}
