package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// RekeyOptions say where a mirror gets new keys.
type RekeyOptions struct {
	Dir      string // the new folder: empty, or one in which a Rekey was broken off
	Practice string // for the sheet
	// Passwords open the new mirror on this computer, by person.
	Passwords map[string]string
	// Keep gets the new keys and the number of their statement before anything is
	// encrypted to them, and puts the sheet where it cannot be lost.
	Keep func(n NewMirror, number int) error
	// Kept reports whether Keep has kept the sheet of a recovery key, by its public key:
	// a Rekey that was broken off goes on with it.
	Kept func(recovery string, number int) (bool, error)
	// Events tells how many bytes of the archive are in the new folder; nil: nobody
	// listens.
	Events func(done, all int64)
}

// A Rekeyed says what Rekey made.
type Rekeyed struct {
	Statement keys.Statement // the one in force in the new folder
	Files     int            // that were encrypted again
	Bytes     int64
	// Left is how many files of settings and quarantine stay in the old folder alone, because they
	// are torn and cannot be decrypted.
	Left int
}

// Rekey encrypts the whole archive again, in another folder, to a new office key and a new
// recovery key. What is inside stays byte for byte: the
// log has the same leaves and roots, so that what was signed or printed before goes on
// proving what it proved; the checkpoints name the SHA-256 of the new files. The mirror key
// stays, because names of attachments come from it and stand in the log, and so does the log
// key: another one begins with an epoch only.
//
// This mirror is not changed. It must be unlocked, and no run may be under way. When Rekey
// returns nil the new folder is a mirror without an index: whoever opens it first needs a
// key, and should verify it before he relies on it.
//
// After a crash, or an error, it can be called again with the same folder, also when this
// mirror went on in between: each file there is whole, and what is missing is added. Errors:
// ErrLocked, ErrFull, ErrDamaged (a file here is not what was signed), ErrNotEmpty.
func (m *Mirror) Rekey(ctx context.Context, o RekeyOptions) (Rekeyed, error) {
	if m.ReadOnly() {
		return Rekeyed{}, ErrReadOnly
	}
	if err := m.takeTurn(); err != nil {
		return Rekeyed{}, err
	}
	defer m.runMu.Unlock()
	m.changing.Lock()
	defer m.changing.Unlock()
	r := &rekeying{m: m, o: o, sums: map[string][32]byte{}}
	var err error
	if r.id, err = m.key(); err != nil {
		return r.made, err
	}
	for _, step := range []func(context.Context) error{r.begin, r.archive, r.beside, r.checkpoints, r.commit} {
		err := step(ctx)
		if disk.IsFull(err) && !errors.Is(err, ErrFull) {
			err = fmt.Errorf("%w: %v", ErrFull, err)
		}
		if err != nil {
			return r.made, err
		}
	}
	return r.made, nil
}

// ErrNotEmpty says that something lies in a folder that must be empty.
var ErrNotEmpty = errors.New("the folder is not empty")

// A rekeying is a Rekey under way.
type rekeying struct {
	m    *Mirror
	o    RekeyOptions
	id   age.Identity
	file []byte // the new statement
	to   []age.Recipient
	sums map[string][32]byte // of the new files, by name
	made Rekeyed
}

func (r *rekeying) path(elem ...string) string {
	return filepath.Join(append([]string{r.o.Dir}, elem...)...)
}

// begin makes the new keys, or finds those of a Rekey that was broken off. The staged
// statement is the sign that they are made and kept.
func (r *rekeying) begin(context.Context) error {
	m := r.m
	if err := checkLocal(m.fs, r.o.Dir); err != nil {
		return err
	}
	number := m.Statement().Number + 1
	name := r.path(statementName(number))
	var err error
	for _, f := range []string{name, name + disk.TempSuffix} {
		if r.file, err = disk.ReadFile(m.fs, f, 1<<20); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err == nil {
		err = r.goOn(number)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = r.empty(); err == nil {
			err = r.newKeys(name)
		}
	}
	if err == nil {
		r.to, err = r.made.Statement.AgeRecipients()
	}
	return err
}

// empty refuses a folder with anything but what was made before the statement was staged.
func (r *rekeying) empty() error {
	entries, err := r.m.fs.ReadDir(r.o.Dir)
	if err != nil {
		return fmt.Errorf("look at the new folder: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name == "slots" || name == "secrets" || name == "lost+found" {
			continue
		} else if !slices.Contains(folders, name) {
			return fmt.Errorf("%s lies in %s: %w", name, r.o.Dir, ErrNotEmpty)
		}
		inside, err := r.m.fs.ReadDir(r.path(e.Name()))
		if err != nil {
			return fmt.Errorf("look at the new folder: %w", err)
		}
		if slices.ContainsFunc(inside, func(f fs.DirEntry) bool { return !strings.HasSuffix(f.Name(), disk.TempSuffix) }) {
			return fmt.Errorf("%s lies in %s: %w", e.Name(), r.o.Dir, ErrNotEmpty)
		}
	}
	return nil
}

// newKeys makes them, writes what is sealed, lets the caller keep the sheet, and stages the
// statement.
func (r *rekeying) newKeys(name string) error {
	m := r.m
	office, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("make the office key: %w", err)
	}
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("make the recovery key: %w", err)
	}
	s, err := m.nextStatement(office, recovery)
	if err != nil {
		return err
	}
	if s.Earlier, err = m.sealEarlier(s, r.earlier()...); err != nil {
		return err
	}
	for _, one := range m.Chain() { // those of epochs before were signed by other boxes
		s.Resigned = max(s.Resigned, one.Fork.Checkpoints)
	}
	if r.file, err = keys.SignByLog(s, m.logKey); err != nil {
		return err
	}
	sealed := map[string][]byte{}
	for person, password := range r.o.Passwords {
		if sealed[filepath.Join("slots", person+"-0001.age")], err = keys.SealSlot(m.box, office, password); err != nil {
			return err
		}
	}
	for _, dir := range folders {
		if err := m.fs.Mkdir(r.path(dir)); err != nil {
			return fmt.Errorf("make the folder %s: %w", dir, err)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(sealed)) {
		if err := disk.ReplaceFile(m.fs, r.path(f), sealed[f]); err != nil {
			return err
		}
	}
	r.made.Statement = s
	if err := r.o.Keep(NewMirror{m.sheetOf(s, r.o.Practice, recovery), office}, s.Number); err != nil {
		return err
	}
	return disk.Stage(m.fs, name, r.file)
}

// earlier are the identities that open what stands in the archive encrypted a second time:
// notes of the journal keep the keys of their day.
func (r *rekeying) earlier() []*age.X25519Identity {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	var list []*age.X25519Identity
	switch id := r.id.(type) {
	case *age.X25519Identity:
		list = append(list, id)
	case keys.Ring:
		list = append(list, id...)
	}
	if r.m.office != nil && !slices.ContainsFunc(list, func(x *age.X25519Identity) bool { return x.String() == r.m.office.String() }) {
		list = append(list, r.m.office)
	}
	return list
}

// goOn takes the keys of a Rekey that was broken off. The error wraps fs.ErrNotExist if the
// statement was not yet staged whole: then nothing is encrypted to it.
func (r *rekeying) goOn(number int) error {
	m := r.m
	var files [][]byte
	for n := 1; n < number; n++ {
		b, err := disk.ReadFile(m.fs, m.path(statementName(n)), 1<<20)
		if err != nil {
			return fmt.Errorf("read the mirror statement: %w", err)
		}
		files = append(files, b)
	}
	chain, err := keys.VerifyChain(append(files, r.file), m.first)
	if errors.Is(err, keys.ErrDamaged) {
		return fmt.Errorf("the statement is not whole: %w", fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("go on in %s: %w", r.o.Dir, errors.Join(ErrNotEmpty, err))
	}
	s := chain.Last()
	kept, err := r.o.Kept(s.Recipient("recovery"), number)
	if err == nil && !kept {
		err = fmt.Errorf("the new keys were begun in %s, and their sheet is not where it was put: %w", r.o.Dir, ErrNotEmpty)
	}
	if err != nil {
		return err
	}
	r.made.Statement = s
	return nil
}

// archive encrypts parts and attachments again, in their order.
func (r *rekeying) archive(ctx context.Context) error {
	parts, err := r.m.Parts()
	if err != nil {
		return err
	}
	var list []index.File
	for _, p := range parts {
		part := index.File{Name: partFile(p.Number), Size: p.Size, SHA256: p.SHA256, Lost: p.Lost}
		for _, f := range append([]index.File{part}, p.Files...) {
			if f.Lost > 0 {
				r.sums[f.Name] = f.SHA256 // what no copy has goes on being stated as it was
			} else {
				list = append(list, f)
			}
		}
	}
	done, all, err := r.room(list)
	if err != nil {
		return err
	}
	for _, f := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		there, err := disk.Exists(r.m.fs, r.path(filepath.FromSlash(f.Name)))
		if err != nil {
			return err
		}
		if there { // whole: it has its name
			_, r.sums[f.Name], err = archive.Sum(r.m.fs, r.path(filepath.FromSlash(f.Name)))
		} else if r.sums[f.Name], err = r.reseal(f); err == nil {
			done += f.Size
		}
		if err != nil {
			return fmt.Errorf("encrypt %s again: %w", f.Name, err)
		}
		if r.made.Files, r.made.Bytes = r.made.Files+1, r.made.Bytes+f.Size; r.o.Events != nil {
			r.o.Events(done, all)
		}
	}
	return nil
}

// room returns how much is in the new folder already and how much there will be, and
// refuses a disk that is too small for it, an index and the reserve.
func (r *rekeying) room(list []index.File) (done, all int64, err error) {
	for _, f := range list {
		there, err := disk.Exists(r.m.fs, r.path(filepath.FromSlash(f.Name)))
		if err != nil {
			return 0, 0, err
		}
		if there {
			done += f.Size
		}
		all += f.Size
	}
	need := all - done + 64<<20
	if info, err := r.m.fs.Stat(index.Path(r.m.dir)); err == nil {
		need += 2 * info.Size()
	}
	_, reserve, err := r.m.Space()
	if err != nil {
		return 0, 0, err
	}
	free, _, err := r.m.fs.Free(r.o.Dir)
	if err != nil {
		return 0, 0, fmt.Errorf("look at the free space: %w", err)
	}
	if free < need+reserve {
		return 0, 0, fmt.Errorf("%w: the new folder needs %d MB beside the reserve of %d MB, and %d MB are free", ErrFull, need>>20, reserve>>20, free>>20)
	}
	return done, all, nil
}

// reseal encrypts one file to the new recipients, under the same name. What it reads is
// what was signed; what it writes has the same length.
func (r *rekeying) reseal(f index.File) (sum [32]byte, err error) {
	m, name := r.m, filepath.FromSlash(f.Name)
	in, err := m.fs.Open(m.path(name))
	if err != nil {
		return sum, err
	}
	defer in.Close() // read only
	was, is := sha256.New(), sha256.New()
	plain, err := age.Decrypt(bufio.NewReaderSize(io.TeeReader(in, was), 256<<10), r.id)
	if err != nil {
		return sum, fmt.Errorf("decrypt: %v: %w", err, ErrDamaged)
	}
	if err := m.fs.Mkdir(filepath.Dir(r.path(name))); err != nil {
		return sum, err
	}
	temp := r.path(name) + disk.TempSuffix
	if err := disk.RemoveTemp(m.fs, temp); err != nil {
		return sum, err
	}
	if err := sealFile(m.fs, temp, &damagedReader{plain, in}, r.to, is); err != nil {
		return sum, err
	}
	info, err := m.fs.Stat(temp)
	switch {
	case err != nil:
		return sum, err
	case f.SHA256 != [32]byte{} && [32]byte(was.Sum(nil)) != f.SHA256:
		return sum, fmt.Errorf("it is not the file that was stored: %w", ErrDamaged)
	case f.SHA256 != [32]byte{} && info.Size() != f.Size:
		return sum, fmt.Errorf("it has %d bytes and must have %d", info.Size(), f.Size)
	}
	is.Sum(sum[:0])
	return sum, disk.Commit(m.fs, temp, r.path(name))
}

// beside brings what is no archive: what the box key seals, the journal's open segments,
// the accounts; and, encrypted again, settings and quarantine.
func (r *rekeying) beside(context.Context) error {
	m := r.m
	for _, dir := range []string{"secrets", "journal"} {
		entries, err := m.fs.ReadDir(m.path(dir))
		if err != nil {
			return fmt.Errorf("list the folder %s: %w", dir, err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if !strings.HasSuffix(name, disk.TempSuffix) {
				if err := r.bring(name); err != nil {
					return err
				}
			}
		}
	}
	if there, err := disk.Exists(m.fs, m.path("access.db")); err != nil {
		return err
	} else if there {
		if err := r.bring("access.db"); err != nil {
			return err
		}
	}
	for _, dir := range []string{"settings", "quarantine"} {
		if err := r.loose(dir); err != nil {
			return err
		}
	}
	return nil
}

// loose encrypts again what lies in a folder and stands in no log, as far as it can be
// decrypted.
func (r *rekeying) loose(dir string) error {
	m := r.m
	entries, err := m.fs.ReadDir(m.path(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the folder %s: %w", dir, err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		there, err := disk.Exists(m.fs, r.path(name))
		if err != nil {
			return err
		}
		if there || strings.HasSuffix(name, disk.TempSuffix) {
			continue
		}
		_, err = r.reseal(index.File{Name: filepath.ToSlash(name)})
		if errors.Is(err, ErrDamaged) {
			r.made.Left++
			err = disk.RemoveTemp(m.fs, r.path(name)+disk.TempSuffix)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bring copies a small file as it is.
func (r *rekeying) bring(name string) error {
	b, err := disk.ReadFile(r.m.fs, r.m.path(name), 1<<30)
	if err != nil {
		return err
	}
	return disk.ReplaceFile(r.m.fs, r.path(name), b)
}

// checkpoints signs every checkpoint again, with the sums of the new files, and one for
// what no checkpoint covers yet: the sums of attachment files must be signed somewhere. The
// folder is no mirror yet, so that those of a Rekey that was broken off may be replaced.
func (r *rekeying) checkpoints(context.Context) error {
	state, err := r.m.lastCheckpoint()
	if err != nil {
		return err
	}
	for n := 1; n <= state.Number; n++ {
		if _, err := r.m.ReadCheckpoint(n); err != nil {
			return err
		}
		file, err := disk.ReadFile(r.m.fs, r.m.path(checkpointName(n)), maxCheckpoint)
		if err != nil {
			return fmt.Errorf("read checkpoint %d: %w", n, err)
		}
		text, _, _ := strings.Cut(string(file), "\n\n")
		if err := r.sign(n, text+"\n"); err != nil {
			return fmt.Errorf("sign checkpoint %d again: %w", n, err)
		}
	}
	last, ok, err := r.m.index.LastPart()
	if err != nil || !ok || last.Number == state.Part {
		return err
	}
	c, parts, err := r.m.headBetween(state.Part, last)
	if err != nil {
		return err
	}
	return r.sign(state.Number+1, c.text(r.m.origin(), parts))
}

// sign writes a checkpoint with the sums of the new files.
func (r *rekeying) sign(n int, text string) error {
	var b strings.Builder
	for i, line := range strings.SplitAfter(text, "\n") {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if i >= 3 && ok && !strings.HasPrefix(line, "certificate ") {
			is, here := r.sums[name]
			if !here || len(sum) != 2*len(is) {
				return fmt.Errorf("it names %s, which is not in the index: %w", name, ErrDamaged)
			}
			line = hex.EncodeToString(is[:]) + "  " + name + "\n"
		}
		b.WriteString(line)
	}
	signer, err := note.NewSigner(r.m.logKey)
	if err != nil {
		return err
	}
	file, err := note.Sign(&note.Note{Text: b.String()}, signer)
	if err != nil {
		return err
	}
	return disk.ReplaceFile(r.m.fs, r.path(checkpointName(n)), file)
}

// commit puts the statements there, the first one last: it makes the folder a mirror.
func (r *rekeying) commit(context.Context) error {
	m, number := r.m, r.made.Statement.Number
	name := r.path(statementName(number))
	if there, err := disk.Exists(m.fs, name); err != nil {
		return err
	} else if !there {
		if err := disk.Commit(m.fs, name+disk.TempSuffix, name); err != nil {
			return err
		}
	}
	for n := number - 1; n > 0; n-- {
		b, err := disk.ReadFile(m.fs, m.path(statementName(n)), 1<<20)
		if err != nil {
			return fmt.Errorf("read the mirror statement: %w", err)
		}
		if err := disk.WriteFile(m.fs, r.path(statementName(n)), b); err != nil && !errors.Is(err, disk.ErrExists) {
			return err
		}
	}
	return nil
}
