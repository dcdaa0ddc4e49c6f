package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

var (
	// ErrOtherSheet says that a recovery sheet is of another mirror.
	ErrOtherSheet = errors.New("this recovery sheet is of another mirror")
	// ErrOfABox says that a folder is the mirror of a computer, and no restored copy.
	ErrOfABox = errors.New("this folder is the mirror of a computer, and no restored copy")
	// ErrInUse says that a folder is the mirror of this computer as it is.
	ErrInUse = errors.New("this folder is the mirror of this computer already")
)

// AdoptOptions say how a restored copy becomes a mirror.
type AdoptOptions struct {
	Dir string
	// Box is the key of this computer; it lies durably where Open will be given it
	// from. An Adopt that was broken off is repeated with the same.
	Box *keys.Box
	FS  disk.FS // nil: the real disk
	Now func() time.Time
	// Recovery is the key on the recovery sheet: it alone may begin an epoch.
	Recovery *age.X25519Identity
	// First is the SHA-256 of mirror/000001.json as the sheet carries it, in hex. If it
	// is "" the caller has the person compare it: without it a mirror that somebody
	// made up for this sheet would be taken.
	First string
	// Passwords are one per person.
	Passwords map[string]string
	Doing     string // what this process does, for others that find the folder busy
}

// Adopted is what Adopt made of a folder.
type Adopted struct {
	Statement keys.Statement // in force from now on
	First     string         // SHA-256 of mirror/000001.json
	Office    *age.X25519Identity
	// Aside names the files that no checkpoint of the office covers, such as the parts
	// of a run that was under way: they were moved to quarantine. What they hold comes
	// again from the EMR, since no cursor moved with them.
	Aside []string
	// Again says that an Adopt before had made the folder the mirror of this computer.
	Again bool
}

// Adopt makes a restored copy (mirror, parts, attachments, holdings, checkpoints,
// settings) the mirror of this computer: it begins a new epoch that continues what the
// office has signed, with a new log key.
//
// The folder is the mirror of this computer, with its index, once Adopt returns nil;
// after a crash before that Adopt can be called again. The lock is held meanwhile.
//
// Errors: ErrNoMirror, *BusyError, ErrOtherSheet, ErrOfABox, ErrInUse, keys.ErrForged
// and keys.ErrDamaged of the statements; ErrDamaged if something that the office
// signed is not here as it was: nothing was changed then.
func Adopt(ctx context.Context, o AdoptOptions) (a Adopted, err error) {
	oo := Options{Dir: o.Dir, Box: o.Box, FS: o.FS, Now: o.Now, Doing: o.Doing}
	oo.fill()
	m := &Mirror{dir: oo.Dir, fs: oo.FS, now: oo.Now, log: oo.Log, box: oo.Box, cache: newFrameCache(cacheBytes)}
	if there, err := IsMirror(m.fs, m.dir); err != nil {
		return a, err
	} else if !there {
		return a, ErrNoMirror
	}
	if err := checkLocal(m.fs, m.dir); err != nil {
		return a, err
	}
	if err := m.takeLock(&oo); err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, m.lock.Release()) }()
	if err := m.mayAdopt(&o); err != nil {
		return a, err
	}
	if a.Again, err = m.isOurs(); err != nil {
		return a, err
	}
	if a.Again {
		err = m.addSlots(o.Passwords)
	} else {
		a.Aside, err = m.beginEpoch(ctx, &o)
	}
	if err == nil {
		err = m.firstIndex(ctx)
	}
	a.Statement, a.First, a.Office = m.Statement(), m.first, m.identity.(*age.X25519Identity)
	return a, err
}

// mayAdopt checks the statements and that the sheet is of this mirror; the mirror is
// open to the office key then.
func (m *Mirror) mayAdopt(o *AdoptOptions) error {
	if err := m.readChain(o.First); err != nil {
		return err
	}
	public, err := recoveryKey(o.Recovery)
	if err != nil {
		return err
	}
	if public != m.Statement().RecoveryKey {
		for _, s := range m.Chain() {
			if s.RecoveryKey == public {
				return ErrOldSheet
			}
		}
		return ErrOtherSheet
	}
	if m.mirrorKey, err = keys.OpenMirrorKey(m.Statement(), o.Recovery); err != nil {
		return fmt.Errorf("%w: it does not open the mirror key", ErrOtherSheet)
	}
	m.identity, m.office = o.Recovery, o.Recovery // in mirrors of before the office key was kept, it stands for it
	if m.Statement().OfficeKey != "" {
		office, err := keys.OpenOfficeKey(m.Statement(), o.Recovery)
		if err != nil {
			return err
		}
		m.identity, m.office = office, office
	}
	return nil
}

// isOurs reports whether the statement in force was made by an Adopt with this box key.
// A folder that another box keeps, or that never was a copy, is refused.
func (m *Mirror) isOurs() (bool, error) {
	indexed, err := disk.Exists(m.fs, index.Path(m.dir))
	if err != nil {
		return false, fmt.Errorf("look at the data folder: %w", err)
	}
	skey, err := m.secret(logKeyFile, "log key")
	switch {
	case errors.Is(err, fs.ErrNotExist) && !indexed:
		return false, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, keys.ErrDamaged):
		return false, ErrOfABox
	case err != nil:
		return false, err
	case !signsFor(string(skey), m.Statement().LogKey): // left by an Adopt that was broken off
		return false, nil
	case !m.Statement().Fork.Is():
		return false, ErrInUse
	}
	return true, nil
}

// signsFor reports whether a private log key belongs to a public one.
func signsFor(skey, vkey string) bool {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return false
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return false
	}
	sig, err := signer.Sign([]byte("which key"))
	return err == nil && v.Verify([]byte("which key"), sig)
}

// beginEpoch checks what the office signed and begins the epoch that continues it. The
// new statement is written last: it is the commit (archive.md 1).
func (m *Mirror) beginEpoch(ctx context.Context, o *AdoptOptions) (aside []string, err error) {
	for _, dir := range folders {
		if err := m.fs.Mkdir(m.path(dir)); err != nil {
			return nil, fmt.Errorf("make the folder %s: %w", dir, err)
		}
	}
	fork, aside, err := m.signedHistory(ctx)
	if err != nil {
		return nil, err
	}
	s, file, secrets, err := m.nextEpoch(fork, o.Recovery)
	if err != nil {
		return nil, err
	}
	for _, name := range aside {
		if _, err := disk.Quarantine(m.fs, m.dir, m.path(filepath.FromSlash(name))); err != nil {
			return nil, err
		}
	}
	if err := putAsideSlots(m.fs, m.dir); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if err := disk.ReplaceFile(m.fs, m.path(name), secrets[name]); err != nil {
			return nil, err
		}
	}
	if err := m.setChain(append(m.Chain(), s)); err != nil {
		return nil, err
	}
	if err := m.addSlots(o.Passwords); err != nil {
		return nil, err
	}
	return aside, writeStatement(m.fs, m.dir, s.Number, file)
}

// firstIndex makes the index, if it was not made before.
func (m *Mirror) firstIndex(ctx context.Context) error {
	there, err := disk.Exists(m.fs, index.Path(m.dir))
	if err == nil && !there {
		err = m.rebuild(ctx)
	}
	if err != nil {
		return fmt.Errorf("make the index: %w", err)
	}
	return nil
}

// nextEpoch makes the statement of a new epoch, signed by the recovery key, and the
// files of what the box key seals.
func (m *Mirror) nextEpoch(fork keys.Fork, recovery *age.X25519Identity) (s keys.Statement, file []byte, secrets map[string][]byte, err error) {
	before, err := disk.ReadFile(m.fs, m.path(statementName(m.Statement().Number)), 1<<20)
	if err != nil {
		return s, nil, nil, fmt.Errorf("read the mirror statement: %w", err)
	}
	s = m.Statement()
	s.Number, s.Epoch, s.Previous, s.Fork, s.Resigned = s.Number+1, s.Epoch+1, keys.Hash(before), fork, 0
	s.Created = m.now().UTC().Truncate(time.Second)
	if m.Statement().OfficeKey == "" {
		key := recovery.Recipient().String()
		s.Recipients = []keys.Recipient{{Role: "office", Key: key}, {Role: "recovery", Key: key}}
	}
	skey, vkey, err := keys.NewLogKey(s.Mirror)
	if err != nil {
		return s, nil, nil, fmt.Errorf("make the log key: %w", err)
	}
	s.LogKey = vkey
	if secrets, err = sealKeys(m.box, m.mirrorKey, skey); err != nil {
		return s, nil, nil, err
	}
	file, err = keys.SignByRecovery(s, recovery)
	return s, file, secrets, err
}

// addSlots gives each person a passphrase.
func (m *Mirror) addSlots(passwords map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(passwords)) {
		if err := m.AddSlot(name, passwords[name]); err != nil {
			return err
		}
	}
	return nil
}

// signedHistory checks that what the office has signed is here as it was, or that the
// office has stated its loss, and returns where it ends, and the files that come after it.
func (m *Mirror) signedHistory(ctx context.Context) (f keys.Fork, aside []string, err error) {
	list, aside, err := m.signedCheckpoints()
	if err != nil {
		return f, nil, err
	}
	h := &history{m: m, signed: map[string][32]byte{}}
	for _, c := range list {
		maps.Copy(h.signed, c.Files)
	}
	for _, c := range list {
		if err := h.upTo(ctx, c); err != nil {
			return f, nil, err
		}
	}
	f.Parts, f.Checkpoints, f.Size = h.last, len(list), h.tree.Size()
	if f.Root, err = h.tree.Root(f.Size); err != nil {
		return f, nil, fmt.Errorf("read the log: %w", err)
	}
	for _, s := range m.Chain() {
		if err := continues(s, f.Size, h.tree.Root); err != nil {
			return f, nil, err
		}
	}
	if f.Settings, err = m.SettingsKept(); err != nil {
		return f, nil, err
	}
	numbers, err := m.partNumbers()
	for _, n := range numbers {
		if int(n) > f.Parts {
			aside = append(aside, filepath.ToSlash(n.Name()))
		}
	}
	return f, aside, err
}

// signedCheckpoints returns the checkpoints, in order, and those that are damaged: only
// at the end may there be such.
func (m *Mirror) signedCheckpoints() (good []Checkpoint, bad []string, err error) {
	numbers, err := m.checkpointNumbers()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("list the checkpoints: %w", err)
	}
	for i, n := range numbers {
		if n != i+1 {
			return nil, nil, fmt.Errorf("checkpoint %d is missing: %w", i+1, ErrDamaged)
		}
		c, err := m.ReadCheckpoint(n)
		switch {
		case errors.Is(err, ErrDamaged):
			bad = append(bad, filepath.ToSlash(checkpointName(n)))
		case err != nil:
			return nil, nil, err
		case len(bad) > 0:
			return nil, nil, fmt.Errorf("%s, which others follow: %w", bad[0], ErrDamaged)
		default:
			good = append(good, c)
		}
	}
	return good, bad, nil
}

// A history is what the office has signed, as far as it was read.
type history struct {
	m      *Mirror
	signed map[string][32]byte // by name: the SHA-256 of each file
	last   int                 // part
	tree   archive.Log
	// lost are the leaves of the parts that are stated as lost; nil: not read yet.
	lost map[archive.PartNumber][]tlog.Hash
}

// upTo reads the parts up to a checkpoint and compares them with it.
func (h *history) upTo(ctx context.Context, c Checkpoint) error {
	for h.tree.Size() < c.Size {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.last++
		leaves, err := h.part(archive.PartNumber(h.last))
		if err != nil {
			return err
		}
		h.tree.Add(leaves)
	}
	if root, err := h.tree.Root(c.Size); err != nil || root != c.Root || h.tree.Size() != c.Size {
		return fmt.Errorf("the archive is not the one that the office signed as checkpoint %d: %w", c.Number, ErrDamaged)
	}
	return nil
}

// part returns the leaves of a part that is as it was signed, or stated as lost: those
// the signed root proves.
func (h *history) part(n archive.PartNumber) ([]tlog.Hash, error) {
	good, err := h.isSigned(n)
	switch {
	case good:
		p, err := h.m.openPart(uint32(n), h.m.identity)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", n, err)
		}
		return p.Leaves(), errors.Join(h.m.checkEpoch(p, n), p.Close())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	leaves, lerr := h.lostPart(n)
	switch {
	case lerr != nil || leaves != nil:
		return leaves, lerr
	case err != nil:
		return nil, fmt.Errorf("part %d is missing: %w", n, ErrDamaged)
	}
	return nil, fmt.Errorf("part %d is not the file that the office signed: %w", n, ErrDamaged)
}

// isSigned reports whether a part is the file that was signed.
func (h *history) isSigned(n archive.PartNumber) (bool, error) {
	want, signed := h.signed[filepath.ToSlash(n.Name())]
	_, sum, err := archive.Sum(h.m.fs, h.m.path(n.Name()))
	return err == nil && signed && sum == want, err
}

// lostPart returns the leaves of a part that a signed one states as lost; nil if none
// does.
func (h *history) lostPart(lost archive.PartNumber) ([]tlog.Hash, error) {
	if h.lost != nil {
		return h.lost[lost], nil
	}
	h.lost = map[archive.PartNumber][]tlog.Hash{}
	numbers, err := h.m.partNumbers()
	for _, n := range numbers {
		if good, serr := h.isSigned(n); n <= lost || serr != nil || !good {
			continue
		}
		if l := h.m.lossesIn(n); l != nil {
			for _, one := range l.Files {
				if one.Part != nil {
					h.lost[archive.PartNumber(one.Part.Number)] = one.Leaves
				}
			}
		}
	}
	return h.lost[lost], err
}

// checkEpoch says whether a part was written by the box whose turn it was.
func (m *Mirror) checkEpoch(p *archive.Part, n archive.PartNumber) error {
	if want := m.Chain().EpochAt(int(n)); p.Footer.Epoch != want {
		return fmt.Errorf("part %d was written in epoch %d, and belongs to epoch %d: %w", n, p.Footer.Epoch, want, ErrDamaged)
	}
	return nil
}

// checkForks checks that each epoch continues this archive.
func (m *Mirror) checkForks() error {
	size, _, err := m.index.Tree()
	if err != nil {
		return err
	}
	for _, s := range m.Chain() {
		if err := continues(s, size, m.index.TreeAt); err != nil {
			return err
		}
		if s.Fork.Checkpoints == 0 {
			continue
		}
		c, err := m.ReadCheckpoint(s.Fork.Checkpoints)
		if err == nil && c.Size != s.Fork.Size { // one that cannot be read is verify's to name
			return fmt.Errorf("statement %d: %w", s.Number, keys.ErrForged)
		}
	}
	return nil
}

// continues checks that the log of an archive is the one that the epoch of a statement
// continues.
func continues(s keys.Statement, size int64, rootAt func(int64) (tlog.Hash, error)) error {
	if !s.Fork.Is() {
		return nil
	}
	if size < s.Fork.Size {
		return fmt.Errorf("the archive ends before epoch %d began: %w", s.Epoch, ErrDamaged)
	}
	root, err := rootAt(s.Fork.Size)
	if err == nil && root != s.Fork.Root {
		err = fmt.Errorf("statement %d does not continue this archive: %w", s.Number, keys.ErrForged)
	}
	return err
}

// writeStatement writes a statement and reads it back.
func writeStatement(fsys disk.FS, dir string, n int, file []byte) error {
	name := filepath.Join(dir, statementName(n))
	if err := disk.WriteFile(fsys, name, file); err != nil {
		return err
	}
	back, err := disk.ReadFile(fsys, name, 1<<20)
	if err != nil || !bytes.Equal(back, file) {
		return fmt.Errorf("read the mirror statement back: %w", ErrDamaged)
	}
	return nil
}
