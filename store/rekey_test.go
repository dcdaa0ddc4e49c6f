package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/journal"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// A rekeyed is a mirror that got new keys, and what was kept of them.
type rekeyed struct {
	dir  string
	kept map[string]store.NewMirror // by the public recovery key
}

func newRekeyed(t testing.TB) *rekeyed {
	t.Helper()
	return &rekeyed{dir: t.TempDir(), kept: map[string]store.NewMirror{}}
}

func (k *rekeyed) options() store.RekeyOptions {
	return store.RekeyOptions{Dir: k.dir, Practice: "Practice",
		Keep: func(n store.NewMirror, number int) error {
			k.kept[n.Sheet.Recovery.Recipient().String()] = n
			return nil
		},
		Kept: func(recovery string, number int) (bool, error) {
			_, there := k.kept[recovery]
			return there, nil
		}}
}

// open opens the new folder with the new sheet, twice: the first opening makes the index.
func (k *rekeyed) open(t testing.TB, old *practice, made store.Rekeyed) *practice {
	t.Helper()
	n := k.kept[made.Statement.Recipients[1].Key]
	p := &practice{dir: k.dir, box: old.box, fs: disk.OS{}, office: n.Sheet.Recovery, sheet: n.Sheet}
	p.open(t)
	p.reopen(t)
	return p
}

// rich makes a mirror with attachments, holdings, settings, lines in quarantine, notes in the journal and in
// parts, and a run that was broken off with an attachment in it.
func rich(t testing.TB) *practice {
	t.Helper()
	p := seed(t)
	if _, err := p.attachWork(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.keepWork(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	p.keep(t, firstSettings, "owner")
	for i := range 2 {
		if err := p.m.Journal(store.Event{Code: "test", Account: "doctor", Note: fmt.Sprint("note ", i)}); err != nil {
			t.Fatal(err)
		}
		p.pull(t, obs("q", i, ""), "no JSON at all")
	}
	if err := p.m.Journal(store.Event{Code: "test", Account: "doctor", Note: "a note in no part"}); err != nil {
		t.Fatal(err)
	}
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	add(t, r, obs("open", 1, ""))
	large := bytes.Repeat([]byte("another scan. "), store.SmallAttachment/14+200)
	add(t, r, `{"resourceType":"DocumentReference","id":"d9","content":[{"attachment":{"url":"Binary/x9"}}]}`)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants, _, err := p.m.Wants("emr", nil, 10)
	if err != nil || len(wants) != 1 {
		t.Fatalf("wants %v, %v", wants, err)
	}
	if err := r.Attach(t.Context(), wants[0], "", bytes.NewReader(large), func(store.Content) (string, error) { return "", nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// ciphertexts are the files of the archive below a folder, by name.
func ciphertexts(t testing.TB, dir string) (names []string) {
	t.Helper()
	p := &practice{dir: dir}
	for _, name := range p.files(t, "parts", "attachments", "holdings") {
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, rel)
	}
	return names
}

func decrypted(t testing.TB, dir, name string, id age.Identity) ([]byte, error) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(b), id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestRekey: the same bytes under new keys. Each new key opens every file, no old one any;
// leaves and roots are the same; the checkpoints name the new files; what was encrypted
// inside opens too; the old folder is as it was; the new one goes on.
func TestRekey(t *testing.T) {
	p := rich(t)
	before := state(t, p.dir)
	k := newRekeyed(t)
	var told []int64
	o := k.options()
	o.Events = func(done, all int64) { told = append(told, done, all) }
	o.Passwords = map[string]string{"doctor": "four words are enough"}
	made, err := p.m.Rekey(t.Context(), o)
	if err != nil {
		t.Fatalf("Rekey = %v", err)
	}
	after := state(t, p.dir)
	if !slices.Equal(before, after) {
		t.Errorf("the old folder changed:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	names := ciphertexts(t, p.dir)
	if made.Files != len(names) || len(told) != 2*len(names) || told[len(told)-2] != told[len(told)-1] || !slices.Equal(names, ciphertexts(t, k.dir)) {
		t.Errorf("Rekeyed %+v, told %v, of the files %v", made, told, names)
	}
	n := k.kept[made.Statement.Recipients[1].Key]
	for _, name := range names {
		want, err := decrypted(t, p.dir, name, p.office)
		if err != nil {
			t.Fatal(err)
		}
		for who, id := range map[string]age.Identity{"the new office key": n.Office, "the new sheet": n.Sheet.Recovery} {
			if got, err := decrypted(t, k.dir, name, id); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s with %s: %v", name, who, err)
			}
		}
		for who, id := range map[string]age.Identity{"the old office key": p.office, "the old sheet": p.sheet.Recovery} {
			if _, err := decrypted(t, k.dir, name, id); err == nil {
				t.Errorf("%s opens with %s", name, who)
			}
		}
	}
	size, root, err := p.m.Tree()
	if err != nil {
		t.Fatal(err)
	}
	q := k.open(t, p, made)
	if s, r, err := q.m.Tree(); err != nil || s != size || r != root || q.m.ID() != p.m.ID() || q.m.FirstHash() != p.m.FirstHash() {
		t.Errorf("the log has %d leaves, %v, %v; want %d, %v", s, r, err, size, root)
	}
	p.sameHeads(t, q)
	if r, err := verify.Run(t.Context(), q.m, verify.Options{Depth: verify.Full}); err != nil || !r.Good() {
		t.Errorf("verify = %+v, %v", r.Damage, err)
	}
	q.checkLinks(t, attachWork{listed: true, attached: true}, "new keys")
	q.holds(t, len(dumps), "new keys")
	q.settingsAre(t, firstSettings)
	q.notes(t, "note 0", "note 1", "a note in no part")
	for _, old := range []age.Identity{p.office, p.sheet.Recovery} {
		q.m.Lock()
		if err := q.m.Unlock(old); !errors.Is(err, store.ErrLocked) {
			t.Errorf("Unlock with an old key = %v", err)
		}
	}
	id, err := q.m.OpenSlotOf(&keys.Unlocker{}, "doctor", "four words are enough")
	if err != nil || id.String() != n.Office.String() {
		t.Errorf("the passphrase: %v", err)
	}
	if err := q.m.Unlock(n.Sheet.Recovery); err != nil {
		t.Fatal(err)
	}
	if err := q.m.AddSlot("nurse", "a passphrase by the sheet"); err != nil {
		t.Errorf("AddSlot with the new sheet = %v", err)
	}
	q.pull(t, obs("a", 9, "")) // it closes the run that was broken off, or goes on with it
	q.has(t, map[string]string{"a": obs("a", 9, ""), "open": obs("open", 1, "")})
	q.same(t)
	l := look(t, q.copied(t), n.Sheet.Recovery)
	l.says(t)
	if r, err := verify.Run(t.Context(), l.m, verify.Options{Depth: verify.Full}); err != nil || !r.Good() {
		t.Errorf("verify of a copy = %+v, %v", r.Damage, err)
	}
	if goes, err := store.Continues(k.dir, p.dir); err != nil || !goes {
		t.Errorf("Continues = %v, %v", goes, err)
	}
	if goes, err := store.Continues(p.dir, k.dir); err == nil && goes {
		t.Error("the old folder goes on where the new one stands")
	}
}

// sameHeads: each signed head of p stands in q too, with the same size and root, and names
// the files that are there, as sha256sum reads them.
func (p *practice) sameHeads(t *testing.T, q *practice) {
	t.Helper()
	n, err := p.m.Checkpoints()
	if err != nil || n == 0 {
		t.Fatalf("%d checkpoints, %v", n, err)
	}
	for i := 1; i <= n; i++ {
		was, err := p.m.ReadCheckpoint(i)
		if err != nil {
			t.Fatal(err)
		}
		is, err := q.m.ReadCheckpoint(i)
		if err != nil || is.Size != was.Size || is.Root != was.Root || len(is.Files) != len(was.Files) || len(is.Certificates) != len(was.Certificates) {
			t.Errorf("checkpoint %d = %+v, %v; want %+v", i, is, err, was)
		}
		for name, sum := range is.Files {
			if _, got, err := q.m.SumFile(name); err != nil || got != sum || sum == was.Files[name] {
				t.Errorf("checkpoint %d: the sum of %s, %v", i, name, err)
			}
		}
	}
	if m, err := q.m.Checkpoints(); err != nil || m != n+1 { // the run that was broken off
		t.Errorf("%d checkpoints, %v; want %d", m, err, n+1)
	}
}

// notes fails unless these are among the free texts of the journal, newest last.
func (p *practice) notes(t *testing.T, want ...string) {
	t.Helper()
	got := map[string]bool{}
	err := p.m.EachJournalLine(t.Context(), 0, func(l journal.Line) error {
		text, err := p.m.OpenNote(l)
		got[text] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("the note %q is not in the journal", w)
		}
	}
}

// TestRekeyRefuses: what cannot be done is said, and nothing is made.
func TestRekeyRefuses(t *testing.T) {
	p := seed(t)
	p.open(t)
	k := newRekeyed(t)
	if err := os.WriteFile(filepath.Join(k.dir, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.m.Rekey(t.Context(), k.options()); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("Rekey into a folder with something in it = %v, want ErrNotEmpty", err)
	}
	r, err := p.m.Begin(t.Context(), store.RunSpec{Source: "emr", Kind: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.m.Rekey(t.Context(), newRekeyed(t).options()); !errors.Is(err, store.ErrBusy) {
		t.Errorf("Rekey during a run = %v, want ErrBusy", err)
	}
	r.Abort()
	// The sheet of what was begun is gone.
	k = newRekeyed(t)
	o := k.options()
	o.Events = func(int64, int64) { panic("stop") }
	func() {
		defer func() { recover() }()
		p.m.Rekey(t.Context(), o)
	}()
	clear(k.kept)
	o.Events = nil
	if _, err := p.m.Rekey(t.Context(), o); !errors.Is(err, store.ErrNotEmpty) || !strings.Contains(err.Error(), "their sheet") {
		t.Errorf("Rekey without the sheet of what was begun = %v", err)
	}
	// A damaged part.
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	p = p.copyTo(t, disk.OS{})
	name := filepath.Join(p.dir, part("1"))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	k = newRekeyed(t)
	if _, err := p.m.Rekey(t.Context(), k.options()); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "000000000001") {
		t.Errorf("Rekey of a damaged part = %v", err)
	}
	if made, err := store.IsMirror(disk.OS{}, k.dir); made || err != nil {
		t.Errorf("a mirror was made of damage: %v", err)
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	full := p.options()
	full.Reserve = 1 << 60
	m, err := store.Open(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Rekey(t.Context(), newRekeyed(t).options()); !errors.Is(err, store.ErrFull) {
		t.Errorf("Rekey onto a disk that is full = %v, want ErrFull", err)
	}
	m.Lock()
	if _, err := m.Rekey(t.Context(), newRekeyed(t).options()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Rekey of a locked mirror = %v, want ErrLocked", err)
	}
}

// TestBreakingDiskRekey is C8 and T2: it breaks off at any operation; the old mirror is as
// it was and goes on; called again it ends, and the new folder is whole.
func TestBreakingDiskRekey(t *testing.T) {
	base := seed(t)
	if _, err := base.attachWork(t.Context()); err != nil {
		t.Fatal(err)
	}
	ways := []storetest.How{storetest.PowerCut, storetest.Happens, storetest.Full}
	probe := storetest.New(0, storetest.Fails)
	whole := base.copyTo(t, probe)
	whole.open(t)
	from := probe.Ops()
	if _, err := whole.m.Rekey(t.Context(), newRekeyed(t).options()); err != nil {
		t.Fatal(err)
	}
	last := probe.Ops() - from
	if last < 60 {
		t.Errorf("there are %d operations only", last)
	}
	for n := 1; n <= last; n += max(1, 120 / *loops) {
		fsys := storetest.New(0, ways[n%len(ways)])
		p := base.copyTo(t, fsys)
		p.open(t)
		fsys.BreakAt(n)
		k := newRekeyed(t)
		_, err := p.m.Rekey(t.Context(), k.options())
		if fsys.Struck() == (err == nil) {
			t.Errorf("operation %d, %v: Rekey = %v", n, ways[n%len(ways)], err)
		}
		p.m.Close() // on a broken disk
		p.fs = disk.OS{}
		p.open(t)
		p.pull(t, obs("later", n, "")) // the old mirror goes on
		made, err := p.m.Rekey(t.Context(), k.options())
		if err != nil {
			t.Fatalf("operation %d, %v: Rekey again = %v", n, ways[n%len(ways)], err)
		}
		q := k.open(t, p, made)
		q.has(t, map[string]string{"a": obs("a", 1, ""), "later": obs("later", n, "")})
		q.checkLinks(t, attachWork{listed: true, attached: true}, fmt.Sprint("operation ", n))
		if r, err := verify.Run(t.Context(), q.m, verify.Options{Depth: verify.Full}); err != nil || !r.Good() {
			t.Errorf("operation %d: verify = %+v, %v", n, r.Damage, err)
		}
		if err := errors.Join(q.m.Close(), p.m.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRekeyAfterAdopt: a mirror that another computer took over gets new keys there, though
// the log key of the office before is gone; a copy of it is adopted once more, with the new
// sheet, after another new sheet was made.
func TestRekeyAfterAdopt(t *testing.T) {
	p := seed(t)
	adopted := func(p *practice, first string) *practice {
		t.Helper()
		box, err := keys.NewBox()
		if err != nil {
			t.Fatal(err)
		}
		q := &practice{dir: p.copied(t), box: box, fs: disk.OS{}, office: p.sheet.Recovery, sheet: p.sheet}
		if _, err := store.Adopt(t.Context(), store.AdoptOptions{Dir: q.dir, Box: box, Recovery: p.sheet.Recovery, First: first}); err != nil {
			t.Fatalf("Adopt = %v", err)
		}
		q.open(t)
		return q
	}
	q := adopted(p, p.sheet.StatementHash)
	q.pull(t, obs("second", 1, ""))
	k := newRekeyed(t)
	made, err := q.m.Rekey(t.Context(), k.options())
	if err != nil {
		t.Fatalf("Rekey = %v", err)
	}
	n := k.open(t, q, made)
	n.pull(t, obs("third", 1, ""))
	n.sheet = n.newSheet(t)
	n.office = n.sheet.Recovery
	n.reopen(t)
	last := adopted(n, p.sheet.StatementHash)
	last.pull(t, obs("fourth", 1, ""))
	for who, m := range map[string]*practice{"after new keys": n, "adopted again": last} {
		r, err := verify.Run(t.Context(), m.m, verify.Options{Depth: verify.Full})
		if err != nil || !r.Good() {
			t.Errorf("%s: verify = %+v, %v", who, r.Damage, err)
		}
		m.has(t, map[string]string{"a": obs("a", 1, ""), "second": obs("second", 1, ""), "third": obs("third", 1, "")})
	}
	last.has(t, map[string]string{"fourth": obs("fourth", 1, "")})
	if _, err := store.Adopt(t.Context(), store.AdoptOptions{Dir: n.copied(t), Box: p.box, Recovery: p.sheet.Recovery}); !errors.Is(err, store.ErrOldSheet) {
		t.Errorf("Adopt with the old sheet = %v, want ErrOldSheet", err)
	}
}
