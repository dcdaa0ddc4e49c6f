package fhirsync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
	"chartcellar/store/keys"
)

// An office is a mirror, an EMR, and what connects them.
type office struct {
	emr     *fakeemr.EMR
	m       *store.Mirror
	client  *rest.Client
	tokens  *smart.Source
	office  *age.X25519Identity
	dir     string
	box     *keys.Box
	source  fhirsync.Source
	full    bool
	rewrite bool
	limit   int64 // of attachments

	noExport bool // of the EMR
	secret   bool // the client has a secret: signing takes long
}

func newOffice(t *testing.T, o fakeemr.Options) *office {
	t.Helper()
	emr, err := fakeemr.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := emr.Served(); n.Evil > 0 || n.Leaks > 0 || n.Writes > 0 {
			t.Errorf("the evil listener saw %d requests, %d leaks, %d writes", n.Evil, n.Leaks, n.Writes)
		}
		emr.Close()
	})
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	f := &office{emr: emr, dir: fastDir(t), box: box,
		source: fhirsync.Source{Name: "emr", Level: "system", Overlap: time.Nanosecond}, noExport: o.NoExport}
	made, err := store.Init(store.InitOptions{Dir: f.dir, Box: box})
	if err != nil {
		t.Fatal(err)
	}
	f.office = made.Office
	f.open(t)
	f.connect(t)
	return f
}

func (f *office) open(t *testing.T) {
	t.Helper()
	m, err := store.Open(t.Context(), store.Options{Dir: f.dir, Box: f.box, Ballast: -1, Reserve: 1, Identity: f.office})
	if err != nil {
		t.Fatal(err)
	}
	f.m = m
	t.Cleanup(func() { m.Close() })
}

func (f *office) connect(t *testing.T) {
	t.Helper()
	how := f.register(t)
	var err error
	f.client, err = rest.New(rest.Options{Base: f.emr.BaseURL(), Local: true, CA: f.emr.CAPEM(), Rate: -1,
		Wait: time.Millisecond, MaxWait: 5 * time.Millisecond, Tries: 3, Idle: 5 * time.Second, Now: f.emr.Clock().Now, RewriteOrigin: f.rewrite,
		Origins: []string{strings.TrimSuffix(f.emr.BaseURL(), "/fhir/r4")}, FileOrigins: []string{f.emr.StorageURL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.CloseIdle)
	conf, err := smart.Discover(t.Context(), f.client)
	if err != nil {
		t.Fatal(err)
	}
	how.ClientID, how.TokenURL, how.Scopes, how.HTTP = "client", conf.TokenURL, conf.Scopes(nil), f.client.TokenClient()
	how.Skew, how.Now = f.client.Skew, f.emr.Clock().Now
	f.tokens = smart.NewSource(how)
	f.client.SetTokens(f.tokens)
}

// register makes the client known to the EMR.
func (f *office) register(t *testing.T) smart.Options {
	t.Helper()
	if f.secret {
		f.emr.RegisterSecret("client", "unsigned")
		return smart.Options{Method: smart.SecretBasic, Secret: "unsigned"}
	}
	key, err := smart.NewKey("ES384")
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := smart.JWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.emr.RegisterKey("client", jwks); err != nil {
		t.Fatal(err)
	}
	return smart.Options{Method: smart.BackendServices, Key: key}
}

func (f *office) trySync(t *testing.T) (*fhirsync.Report, error) {
	t.Helper()
	return fhirsync.Sync(t.Context(), fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens,
		Mirror: f.m, Full: f.full, LostWait: time.Nanosecond, Poll: time.Millisecond, MaxAttachment: f.limit})
}

func (f *office) sync(t *testing.T) *fhirsync.Report {
	t.Helper()
	r, err := f.trySync(t)
	if err != nil {
		t.Fatalf("Sync = %v", err)
	}
	return r
}

// equal fails unless the mirror holds what the EMR holds now.
func (f *office) equal(t *testing.T) {
	t.Helper()
	snap, err := f.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range f.emr.Types() {
		want := map[string]string{}
		err := f.emr.EachAt(typ, f.emr.Clock().Now(), func(id string, line []byte) error {
			want[id] = string(line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = snap.Each(t.Context(), "emr", typ, func(id string, raw []byte) error {
			if want[id] != string(raw) {
				t.Errorf("%s: the mirror differs from the EMR", typ)
			}
			delete(want, id)
			return nil
		})
		if err != nil {
			t.Fatalf("Each(%s) = %v", typ, err)
		}
		if len(want) > 0 {
			t.Errorf("%s: %d records are missing in the mirror", typ, len(want))
		}
	}
}

func small() fakeemr.Options {
	return fakeemr.Options{Practice: fakeemr.Practice{Patients: 6, Seed: 1, Years: 3}, Polls: -1}
}

func TestPullTwice(t *testing.T) {
	for _, level := range []string{"system", "patient", "group"} {
		t.Run(level, func(t *testing.T) {
			f := newOffice(t, small())
			f.source.Level = level
			if level == "group" {
				f.source.Group = f.emr.GroupID()
			}
			r := f.sync(t)
			if r.Verdict != fhirsync.Complete || !r.Full {
				t.Errorf("first pull: %q, full %v, want complete, true; %+v", r.Verdict, r.Full, r)
			}
			f.equal(t)
			day, err := f.emr.Changes(1)
			if err != nil {
				t.Fatal(err)
			}
			r = f.sync(t)
			if r.Verdict != fhirsync.Complete || r.Full {
				t.Errorf("second pull: %q, full %v, want complete, false", r.Verdict, r.Full)
			}
			for _, row := range r.Types {
				if row.New != day.Created[row.Type] || row.Changed != day.Edited[row.Type] || row.Removed != day.Deleted[row.Type] {
					t.Errorf("%s: %d new, %d changed, %d removed; the EMR says %d, %d, %d", row.Type, row.New, row.Changed,
						row.Removed, day.Created[row.Type], day.Edited[row.Type], day.Deleted[row.Type])
				}
			}
			f.equal(t)
			if s := f.emr.Served(); s.KickOffs != 2 || s.LiveJobs != 0 || s.MaxLiveJobs != 1 || s.EarlyPolls != 0 {
				t.Errorf("kick-offs %d, live %d, at most %d, early polls %d; want 2, 0, 1, 0",
					s.KickOffs, s.LiveJobs, s.MaxLiveJobs, s.EarlyPolls)
			}
		})
	}
}

func TestFullAgainWritesNothing(t *testing.T) {
	f := newOffice(t, small())
	f.sync(t)
	f.full = true
	r := f.sync(t)
	if r.Verdict != fhirsync.Complete || !r.Full {
		t.Errorf("verdict %q, full %v", r.Verdict, r.Full)
	}
	for _, row := range r.Types {
		if row.New+row.Changed+row.Removed > 0 || row.Unchanged < row.Listed {
			t.Errorf("%s: %+v, want everything unchanged", row.Type, row.Count)
		}
	}
	f.equal(t)
}

// TestFaults: what one fault makes of a run, and that the next run heals it.
func TestFaults(t *testing.T) {
	long := `{"resourceType":"Observation","id":"long","x":"` + strings.Repeat("A", 5<<20) + `"}`
	tests := []struct {
		name   string
		faults fakeemr.Faults
		want   fhirsync.Verdict // "" for an error
		typ    string           // whose cursor must stay
	}{
		{"nothing wrong", fakeemr.Faults{}, fhirsync.Complete, ""},
		{"F8: redirect to pre-signed storage", fakeemr.Faults{FileRedirect: "storage"}, fhirsync.Complete, ""},
		{"F8: redirect to another storage than the known one", fakeemr.Faults{FileRedirect: "evil"}, fhirsync.FailedRun, ""},
		{"F8: redirect to storage, and on from there", fakeemr.Faults{FileRedirect: "chain"}, fhirsync.FailedRun, ""},
		{"F9: a file at another storage", fakeemr.Faults{FileURL: "https://files.example/x"}, fhirsync.FailedRun, ""},
		{"F8: redirect to plain http", fakeemr.Faults{FileRedirect: "http"}, fhirsync.FailedRun, ""},
		{"F8: redirect loop", fakeemr.Faults{FileRedirect: "loop"}, fhirsync.FailedRun, ""},
		{"F9: status on a link-local address", fakeemr.Faults{StatusURL: "https://169.254.169.254/x"}, fhirsync.FailedRun, ""},
		{"F9: file on a link-local address", fakeemr.Faults{FileURL: "http://169.254.169.254/x"}, fhirsync.FailedRun, ""},
		{"F10: token endpoint redirects", fakeemr.Faults{TokenRedirect: true}, "", ""},
		{"F11: cut at a newline, count given", fakeemr.Faults{Truncate: "close newline", TruncateType: "Observation"}, fhirsync.WithGaps, "Observation"},
		{"F11: cut at a newline, no count", fakeemr.Faults{Truncate: "close newline", TruncateType: "Observation", NoCount: true}, fhirsync.WithGaps, "Observation"},
		{"F11: cut in a line, healed by trying again", fakeemr.Faults{Truncate: "line", TruncateTimes: 1}, fhirsync.Complete, ""},
		{"F12: announced gzip", fakeemr.Faults{Gzip: "plain"}, fhirsync.Complete, ""},
		{"F12: hidden gzip", fakeemr.Faults{Gzip: "hidden"}, fhirsync.Complete, ""},
		{"F12: gzip in gzip", fakeemr.Faults{Gzip: "double"}, fhirsync.FailedRun, ""},
		{"F12: wrong checksum", fakeemr.Faults{Gzip: "crc"}, fhirsync.FailedRun, ""},
		{"F12: bomb", fakeemr.Faults{Gzip: "bomb", FileType: "Condition"}, fhirsync.WithGaps, "Condition"},
		{"F13: mark, carriage returns, no last newline", fakeemr.Faults{BOM: true, CRLF: true, NoLastNewline: true}, fhirsync.Complete, ""},
		{"F13: one long line", fakeemr.Faults{Extra: []string{long, "", " "}, ExtraType: "Observation", NoCount: true}, fhirsync.Complete, ""},
		{"F13: a line that is no JSON", fakeemr.Faults{Extra: []string{`{"resourceType":`}, ExtraType: "Condition"}, fhirsync.WithGaps, ""},
		{"F13: a member twice", fakeemr.Faults{Extra: []string{`{"resourceType":"Condition","id":"a","id":"b"}`}, ExtraType: "Condition"}, fhirsync.WithGaps, ""},
		{"F14: an error that names a type", fakeemr.Faults{ErrorFile: "export failed", ErrorType: "Observation"}, fhirsync.WithGaps, "Observation"},
		{"F14: an error that names none", fakeemr.Faults{ErrorFile: "something failed"}, fhirsync.FailedRun, "Observation"},
		{"F16: nothing at all", fakeemr.Faults{EmptyExport: true}, fhirsync.FailedRun, ""},
		{"F16: a login page instead of the manifest", fakeemr.Faults{ManifestHTML: true}, "", ""},
		{"F18: 401 for ever", fakeemr.Faults{Unauthorized: "/$export"}, "", ""},
		{"P37: throttled for a while", fakeemr.Faults{Throttle: 2, RetryAfter: "0", ThrottlePrefix: "/file"}, fhirsync.Complete, ""},
		{"P44: kick-off by POST only", fakeemr.Faults{PostOnly: true}, fhirsync.Complete, ""},
		{"P46: relative addresses", fakeemr.Faults{RelativeURLs: true}, fhirsync.Complete, ""},
		{"P46: no status address", fakeemr.Faults{NoLocation: true}, "", ""},
		{"P48: a type that is refused", fakeemr.Faults{RefuseTypes: []string{"Coverage"}}, fhirsync.Complete, ""},
		{"P59: the job is gone", fakeemr.Faults{JobGone: true}, fhirsync.FailedRun, ""},
		{"P61: the 4.0 draft", fakeemr.Faults{Dialect4: true}, fhirsync.Complete, ""},
		{"P62: an offset without a colon", fakeemr.Faults{TransactionFormat: "2006-01-02T15:04:05-0700"}, fhirsync.Complete, ""},
		{"P62: no time", fakeemr.Faults{TransactionFormat: "soon"}, fhirsync.Complete, ""},
		{"P76: links that expire", fakeemr.Faults{ExpireFiles: 2}, fhirsync.Complete, ""},
		{"one file that cannot be read", fakeemr.Faults{FileStatus: 404, FileType: "Condition"}, fhirsync.WithGaps, "Condition"},
		{"P18: a scope less", fakeemr.Faults{GrantOnly: []string{"system/Patient.rs", "system/Condition.rs"}}, fhirsync.WithGaps, "Observation"},
		{"wrong FHIR version", fakeemr.Faults{FHIRVersion: "3.0.2"}, "", ""},
		{"HTML instead of JSON", fakeemr.Faults{HTML: "/metadata"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newOffice(t, small())
			f.emr.Set(tt.faults)
			r, err := f.trySync(t)
			switch {
			case (err != nil) != (tt.want == ""):
				t.Fatalf("Sync = %+v, %v; want %q", r, err, tt.want)
			case err == nil && r.Verdict != tt.want:
				t.Errorf("verdict = %q, want %q; %+v", r.Verdict, tt.want, r)
			}
			f.checkCursor(t, tt.typ)
			f.emr.Set(fakeemr.Faults{})
			f.connect(t)
			if r := f.sync(t); r.Verdict != fhirsync.Complete && r.Verdict != fhirsync.Interrupted {
				t.Errorf("the next run: %q, %+v", r.Verdict, r)
			}
			if tt.faults.Extra == nil {
				f.equal(t)
			}
		})
	}
}

// TestRefusedType: P48, a type that the EMR neither exports nor lets one search is
// a gap in every run, and breaks none.
func TestRefusedType(t *testing.T) {
	o := small()
	o.NoSearch = true
	f := newOffice(t, o)
	f.emr.Set(fakeemr.Faults{RefuseTypes: []string{"Coverage"}})
	for n, full := range []bool{false, false, true, false} {
		f.full = full
		r := f.sync(t)
		if r.Verdict != fhirsync.WithGaps || len(r.Gaps) != 1 || r.Gaps[0].Type != "Coverage" || r.Gaps[0].Tries != n+1 {
			t.Errorf("run %d: %q, gaps %+v", r.Run, r.Verdict, r.Gaps)
		}
		f.checkCursor(t, "Coverage")
	}
	if n := f.emr.Served().LiveJobs; n != 0 {
		t.Errorf("%d jobs are left at the EMR", n)
	}
	f.emr.Set(fakeemr.Faults{})
	f.full = true
	if r := f.sync(t); r.Verdict != fhirsync.Complete || r.GapCount != 0 {
		t.Errorf("once it is exported: %q, %+v", r.Verdict, r.Gaps)
	}
	f.equal(t)
}

func (f *office) checkCursor(t *testing.T, typ string) {
	t.Helper()
	cursors, err := f.m.Cursors("emr")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cursors {
		if c.Type == typ {
			t.Errorf("the cursor of %s moved", typ)
		}
		if c.Since.After(f.emr.Clock().Now()) {
			t.Errorf("the cursor of %s is in the future", c.Type)
		}
	}
}

// TestLateRecords: F1, records that change during the job while the server
// calls the job's end its time; F2, records that are stamped before they can be
// seen.
func TestLateRecords(t *testing.T) {
	tests := []struct {
		name   string
		faults fakeemr.Faults
	}{
		{"F1", fakeemr.Faults{LateTransaction: true}},
		{"F2", fakeemr.Faults{LateCommit: 90 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newOffice(t, small())
			f.source.Overlap = 2 * time.Minute
			faults := tt.faults
			changed := false
			faults.OnPoll = func(int) {
				if !changed {
					changed = true
					for i := range 40 {
						if _, err := f.emr.Put(fmt.Appendf(nil, `{"resourceType":"Observation","id":"late%d"}`, i)); err != nil {
							t.Error(err)
						}
					}
				}
			}
			f.emr.Set(faults)
			f.sync(t)
			f.emr.Clock().Advance(time.Minute)
			f.emr.Set(tt.faults)
			f.sync(t)
			f.equal(t)
		})
	}
}

// TestHeldLoss: F7 and F16, half of the practice is gone, or one type is empty.
func TestHeldLoss(t *testing.T) {
	tests := []struct {
		name   string
		faults fakeemr.Faults
		typ    string
	}{
		{"F7: half of the patients", fakeemr.Faults{HalfGroup: true}, "Patient"},
		{"F16: no observations", fakeemr.Faults{EmptyTypes: []string{"Observation"}}, "Observation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newOffice(t, fakeemr.Options{Practice: fakeemr.Practice{Patients: 40, Seed: 2, Years: 2}, Polls: -1})
			f.sync(t)
			f.emr.Set(tt.faults)
			f.full = true
			r := f.sync(t)
			if r.Verdict != fhirsync.HeldVerdict {
				t.Errorf("verdict = %q, want held", r.Verdict)
			}
			f.equal(t)
			f.emr.Set(fakeemr.Faults{})
			if r := f.sync(t); r.Verdict != fhirsync.Complete {
				t.Errorf("the next run: %q", r.Verdict)
			}
		})
	}
}

// TestMassDeletion: a held run changes nothing until a person accepts it.
func TestMassDeletion(t *testing.T) {
	for _, accept := range []bool{true, false} {
		t.Run(fmt.Sprint("accept ", accept), func(t *testing.T) {
			f := newOffice(t, small())
			f.sync(t)
			n := 0
			f.each(t, "Observation", func(id string) {
				if n++; n <= 30 {
					f.emr.Delete("Observation", id)
				}
			})
			r := f.sync(t)
			if r.Verdict != fhirsync.HeldVerdict {
				t.Fatalf("verdict = %q, want held", r.Verdict)
			}
			if got := f.count(t, "Observation"); got != n {
				t.Errorf("%d observations before the decision, want %d", got, n)
			}
			if err := fhirsync.Decide(t.Context(), f.m, r.Run, "", accept, "doctor"); err != nil {
				t.Fatal(err)
			}
			want := n
			if accept {
				want = n - 30
			}
			if got := f.count(t, "Observation"); got != want {
				t.Errorf("%d observations after the decision, want %d", got, want)
			}
			if r := f.sync(t); r.Verdict != fhirsync.Complete && accept {
				t.Errorf("the next run: %q", r.Verdict)
			}
		})
	}
}

func (f *office) each(t *testing.T, typ string, fn func(id string)) {
	t.Helper()
	err := f.emr.EachAt(typ, f.emr.Clock().Now(), func(id string, _ []byte) error { fn(id); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func (f *office) count(t *testing.T, typ string) int {
	t.Helper()
	snap, err := f.m.Now()
	if err != nil {
		t.Fatal(err)
	}
	n, err := snap.Counts("")
	if err != nil {
		t.Fatal(err)
	}
	return n[typ]
}

// TestBrokenOff: F20 and F21, the run ends at each of its steps and is
// continued by the next call with the same export and the same files.
func TestBrokenOff(t *testing.T) {
	hooks := map[string]func(*fakeemr.Faults, func(int)){
		"at the second poll": func(f *fakeemr.Faults, stop func(int)) { f.OnPoll = stop },
		"at a file":          func(f *fakeemr.Faults, stop func(int)) { f.OnFile = stop },
		"at the delete":      func(f *fakeemr.Faults, stop func(int)) { f.OnDelete = func(int) { stop(2) } },
	}
	for name, hook := range hooks {
		t.Run(name, func(t *testing.T) {
			o := small()
			o.Polls = 2
			f := newOffice(t, o)
			ctx, cancel := context.WithCancel(t.Context())
			var faults fakeemr.Faults
			hook(&faults, func(n int) {
				if n == 2 {
					cancel()
				}
			})
			f.emr.Set(faults)
			_, err := fhirsync.Sync(ctx, fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens,
				Mirror: f.m, Poll: time.Millisecond})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("Sync = %v, want canceled", err)
			}
			f.emr.Set(fakeemr.Faults{})
			if err := f.m.Close(); err != nil {
				t.Fatal(err)
			}
			f.open(t)
			f.sync(t)
			f.equal(t)
			want := 1
			if name == "at the delete" {
				want = 2 // the first run was over: this is another
			}
			if s := f.emr.Served(); s.KickOffs != want || s.LiveJobs != 0 {
				t.Errorf("%d kick-offs, %d live jobs; want %d, 0", s.KickOffs, s.LiveJobs, want)
			}
		})
	}
}

// TestFinishedFilesStay: what was made durable is not fetched again: a full run
// that is broken off in its second export goes on without the files of the first.
func TestFinishedFilesStay(t *testing.T) {
	f := newOffice(t, small())
	f.sync(t)
	if _, err := f.emr.Changes(1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.emr.Set(fakeemr.Faults{OnFile: func(int) {
		if f.emr.Served().KickOffs == 3 { // the first run's, the changes', everything's
			cancel()
		}
	}})
	_, err := fhirsync.Sync(ctx, fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens, Mirror: f.m,
		Full: true, Poll: time.Millisecond})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Sync = %v, want canceled", err)
	}
	f.emr.Set(fakeemr.Faults{})
	before := f.emr.Served()
	if err := f.m.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(t)
	if r := f.sync(t); r.Verdict != fhirsync.Complete || !r.Resumed {
		t.Errorf("the resumed run: %q, resumed %v", r.Verdict, r.Resumed)
	}
	for name, times := range f.emr.Served().Files {
		if strings.HasPrefix(name, "j2 ") && (times != 1 || before.Files[name] != 1) {
			t.Errorf("%s was fetched %d times", name, times)
		}
	}
	f.equal(t)
}

func TestLostKickOff(t *testing.T) {
	f := newOffice(t, small())
	f.emr.Set(fakeemr.Faults{LostKickOff: 1, SingleSlot: true})
	sync := func() error {
		_, err := fhirsync.Sync(t.Context(), fhirsync.Options{Source: f.source, Client: f.client,
			Tokens: f.tokens, Mirror: f.m, LostWait: time.Hour})
		return err
	}
	if err := sync(); err == nil {
		t.Fatal("Sync after a lost kick-off succeeded")
	}
	var notYet *fhirsync.NotYet
	if err := sync(); !errors.As(err, &notYet) {
		t.Errorf("Sync soon after = %v, want NotYet", err)
	}
	if s := f.emr.Served(); s.KickOffs != 1 || s.MaxLiveJobs != 1 {
		t.Errorf("%d kick-offs, %d live jobs; want 1, 1", s.KickOffs, s.MaxLiveJobs)
	}
}

// TestShortTokens: F18, tokens that live for two seconds of the EMR's clock.
func TestShortTokens(t *testing.T) {
	o := small()
	o.TokenLife = 2 * time.Second
	f := newOffice(t, o)
	f.emr.Set(fakeemr.Faults{OnFile: func(int) { f.emr.Clock().Advance(3 * time.Second) }})
	// One file at a time: the clock jumps with every file, and a second download
	// would lose its fresh token to the first one's jump.
	r, err := fhirsync.Sync(t.Context(), fhirsync.Options{Source: f.source, Client: f.client, Tokens: f.tokens,
		Mirror: f.m, Poll: time.Millisecond, Downloads: 1})
	if err != nil || r.Verdict != fhirsync.Complete {
		t.Errorf("Sync = %+v, %v", r, err)
	}
	if s := f.emr.Served(); s.TokenCalls > 60 {
		t.Errorf("%d token calls", s.TokenCalls)
	}
	f.equal(t)
}

// newPatients is a full listing with n patients that were not known.
func newPatients(n int) fhirsync.TypeRow {
	r := fhirsync.TypeRow{Type: "Patient", Full: true, Listed: 1000}
	r.Lines, r.New = 1000, n
	return r
}

func TestSuspect(t *testing.T) {
	row := func(typ string, lines int, full bool) fhirsync.TypeRow {
		r := fhirsync.TypeRow{Type: typ, Full: full}
		r.Lines, r.Listed = lines, lines
		return r
	}
	removed := func(n int) fhirsync.TypeRow { r := row("X", 5, false); r.Removed = n; return r }
	tests := []struct {
		name string
		row  fhirsync.TypeRow
		past fhirsync.Past
		held bool
	}{
		{"an ordinary day", removed(3), fhirsync.Past{Records: 10_000}, false},
		{"20 of few", removed(20), fhirsync.Past{Records: 100}, false},
		{"21 of few", removed(21), fhirsync.Past{Records: 100}, true},
		{"0.5 % of many", removed(500), fhirsync.Past{Records: 100_000}, false},
		{"more of many", removed(501), fhirsync.Past{Records: 100_000}, true},
		{"a slow leak", removed(3), fhirsync.Past{Records: 1000, Removed: 60}, true},
		{"a leak that has stopped", removed(0), fhirsync.Past{Records: 1000, Removed: 90}, false},
		{"5 patients fewer", row("Patient", 95, true), fhirsync.Past{Records: 100}, false},
		{"6 patients fewer", row("Patient", 94, true), fhirsync.Past{Records: 100}, true},
		{"fewer, but only changes were asked for", row("Patient", 4, false), fhirsync.Past{Records: 100}, false},
		{"21 new patients of 100", newPatients(21), fhirsync.Past{Records: 100}, true},
		{"20 new patients of 100", newPatients(20), fhirsync.Past{Records: 100}, false},
		{"the first patients", newPatients(500), fhirsync.Past{}, false},
		{"none where there were 101", row("X", 0, true), fhirsync.Past{Records: 101}, true},
		{"none where there were few", row("X", 0, true), fhirsync.Past{Records: 20}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fhirsync.Suspect(tt.row, tt.past); (got != "") != tt.held {
				t.Errorf("Suspect = %q, want held %v", got, tt.held)
			}
		})
	}
}

func TestReportHoldsNoNames(t *testing.T) {
	f := newOffice(t, small())
	f.sync(t)
	record, err := f.m.RunRecord(1)
	if err != nil || len(record) == 0 {
		t.Fatalf("RunRecord = %d bytes, %v", len(record), err)
	}
	for _, name := range []string{"Müller", "Harbour Street", "pat-0"} {
		if bytes.Contains(record, []byte(name)) {
			t.Errorf("the run record holds %q", name)
		}
	}
}
