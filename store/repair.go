package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
)

// ErrOtherBytes says that what was to mend a file is not that file: nothing was
// changed.
var ErrOtherBytes = errors.New("the bytes are not those of this file")

// A Broken is a file of the mirror that is missing or is not what was written.
type Broken struct {
	// SealedFile is the file as it must be. Of a checkpoint neither size nor sum is
	// known: it is known by its signature.
	SealedFile
	Missing bool
	Part    uint32 // the part, or the first one that names the attachment; 0 of a checkpoint
}

// Broken returns the parts, attachments, holdings and checkpoints that are missing
// or are not what was written, in the order of the archive. All are looked at; the
// content is read of checkpoints, and of the parts that read asks for, with the
// files that they are the first to name: without it a flipped bit is not seen. nil
// asks for all. What was declared lost is not among them. It needs no key.
func (m *Mirror) Broken(ctx context.Context, read func(index.Part) bool) ([]Broken, error) {
	parts, err := m.Parts()
	if err != nil {
		return nil, err
	}
	var list []Broken
	for _, p := range parts {
		for _, f := range appendPart(nil, p) {
			if ctx.Err() != nil {
				return list, ctx.Err()
			}
			b := Broken{SealedFile: f, Part: p.Number}
			if m.broken(&b, m.sameBytes(f), read == nil || read(p)) {
				list = append(list, b)
			}
		}
	}
	last, err := m.Checkpoints()
	for n := 1; n <= last; n++ {
		b := Broken{SealedFile: SealedFile{Name: filepath.ToSlash(checkpointName(n))}}
		if m.broken(&b, m.sameCheckpoint(n), true) {
			list = append(list, b)
		}
	}
	return list, err
}

// broken looks at one file.
func (m *Mirror) broken(b *Broken, good judge, read bool) bool {
	info, err := m.fs.Stat(m.local(b.Name))
	if err != nil {
		b.Missing = true
		return true
	}
	if b.Size > 0 && info.Size() != b.Size {
		return true
	}
	return read && good(m.local(b.Name)) != nil
}

// local is the path of a file of the mirror.
func (m *Mirror) local(name string) string { return m.path(filepath.FromSlash(name)) }

// A judge says whether the file under a path is the one it must be: any error,
// also one of the disk, says that it is not.
type judge func(path string) error

func (m *Mirror) sameBytes(f SealedFile) judge {
	return func(path string) error {
		size, sum, err := archive.Sum(m.fs, path)
		if err == nil && (size != f.Size || sum != f.SHA256) {
			err = ErrOtherBytes
		}
		return err
	}
}

// sameCheckpoint judges by the signature and the log: there is one signed head of a
// size, and it stands between its neighbours.
func (m *Mirror) sameCheckpoint(n int) judge {
	return func(path string) error {
		file, err := disk.ReadFile(m.fs, path, maxCheckpoint)
		if err != nil {
			return err
		}
		c, err := ParseCheckpoint(file, m.LogKeyAt(n))
		if err != nil {
			return err
		}
		root, err := m.TreeAt(c.Size)
		if err != nil || root != c.Root {
			return ErrOtherBytes
		}
		state, err := m.lastCheckpoint()
		if err != nil {
			return err
		}
		if n == state.Number && state.Part > 0 { // of a folder that is only looked at it is not known
			last, _, err := m.index.Part(state.Part)
			if err != nil || last.Leaves != c.Size {
				return ErrOtherBytes
			}
		}
		return m.between(n, c)
	}
}

// between reports with ErrOtherBytes that a checkpoint does not fit between its
// neighbours, where those can be read.
func (m *Mirror) between(n int, c Checkpoint) error {
	before, err := m.ReadCheckpoint(n - 1)
	if err == nil && before.Size >= c.Size {
		return ErrOtherBytes
	}
	behind, err := m.ReadCheckpoint(n + 1)
	if err == nil && behind.Size <= c.Size {
		return ErrOtherBytes
	}
	return nil
}

// A knownFile is a file of which it is known what it must be.
type knownFile struct {
	name string
	good judge
	most int64 // bytes that it may have
}

// known returns what is known of a file of this name. The error wraps ErrNotFound if
// no such file belongs to the mirror.
func (m *Mirror) known(name string) (knownFile, error) {
	if n, isPart := signedPart(name); isPart && filepath.ToSlash(n.Name()) == name {
		p, ok, err := m.index.Part(uint32(n))
		if err != nil || ok {
			return knownFile{name, m.sameBytes(SealedFile{name, p.Size, p.SHA256}), p.Size}, err
		}
	}
	last, err := m.Checkpoints()
	if err != nil {
		return knownFile{}, err
	}
	for n := 1; n <= last && strings.HasPrefix(name, "checkpoints/"); n++ {
		if filepath.ToSlash(checkpointName(n)) == name {
			return knownFile{name, m.sameCheckpoint(n), maxCheckpoint}, nil
		}
	}
	var file *index.File
	err = m.index.EachPart(func(p index.Part) error {
		i := slices.IndexFunc(p.Files, func(f index.File) bool { return f.Name == name })
		if i >= 0 && (file == nil || p.Files[i].Lost == 0) { // it may have been lost and fetched again
			file = &p.Files[i]
		}
		return nil
	})
	if err == nil && file == nil {
		err = fmt.Errorf("%s is no file of this mirror: %w", path.Base(name), ErrNotFound)
	}
	if err != nil {
		return knownFile{}, err
	}
	return knownFile{name, m.sameBytes(sealedOf(*file)), file.Size}, nil
}

// Repair puts a whole file in the place of one that is missing or damaged: a part, an
// attachment, a holding or a checkpoint. What from gives must be that file, byte
// for byte, else the error wraps ErrOtherBytes and nothing is changed. The damaged
// file is kept in the quarantine. by says, for the journal, where the bytes came from.
//
// A file that is good is left alone. When Repair returns nil the file is durable and
// is what readers see; after a crash it is whole, or still damaged, or missing with
// the damaged one in the quarantine: Repair then goes on. It needs no key, and a run
// may go on beside it.
//
// What was declared lost comes back the same way: then the index is made anew, which
// needs a key and that no run goes on; without them the file is there, and Repair of it
// ends the work another time.
func (m *Mirror) Repair(ctx context.Context, name, by string, from io.Reader) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	k, err := m.known(name)
	if err != nil {
		return err
	}
	m.repairing.Lock()
	defer m.repairing.Unlock()
	err = m.mend(ctx, k, from, func() error {
		return m.Journal(Event{Code: "repair.file", Account: "owner", Note: name + " from " + by})
	})
	if err != nil {
		return err
	}
	return m.back(ctx, name)
}

// mend puts what from gives in the place of a file unless that is good. Before anything
// is changed, note is called.
func (m *Mirror) mend(ctx context.Context, k knownFile, from io.Reader, note func() error) error {
	if k.good(m.local(k.name)) == nil {
		return nil
	}
	temp := m.local(k.name) + disk.TempSuffix
	err := m.bring(ctx, temp, io.LimitReader(from, k.most+1))
	if err == nil && k.good(temp) != nil {
		err = fmt.Errorf("mend %s: %w", path.Base(k.name), ErrOtherBytes)
	}
	if err == nil {
		err = note()
	}
	if err != nil {
		return errors.Join(m.full(err), disk.RemoveTemp(m.fs, temp))
	}
	return m.exchange(k.name, temp)
}

// back takes a file into the index again that was declared lost and is here.
func (m *Mirror) back(ctx context.Context, name string) error {
	lost, err := m.Lost()
	if err != nil || !slices.ContainsFunc(lost, func(l LostFile) bool { return l.File == name && !l.Again }) {
		return err
	}
	return m.RebuildIndex(ctx)
}

// bring writes what from gives into a new temporary file, and syncs it.
func (m *Mirror) bring(ctx context.Context, temp string, from io.Reader) error {
	if err := m.fs.Mkdir(filepath.Dir(temp)); err != nil {
		return err
	}
	if err := disk.RemoveTemp(m.fs, temp); err != nil {
		return err
	}
	f, err := m.fs.Create(temp)
	if err != nil {
		return fmt.Errorf("create %s: %w", filepath.Base(temp), err)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, disk.Until(ctx, from), make([]byte, 256<<10))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// exchange puts the damaged file aside and the good one in its place.
func (m *Mirror) exchange(name, temp string) error {
	there, err := disk.Exists(m.fs, m.local(name))
	if n, isPart := signedPart(name); isPart {
		defer m.cache.forget(uint32(n))
		m.cache.forget(uint32(n)) // a file that is open cannot be moved everywhere
	}
	if err == nil && there {
		_, err = disk.Quarantine(m.fs, m.dir, m.local(name))
	}
	if err != nil {
		return err
	}
	if err := disk.Commit(m.fs, temp, m.local(name)); err != nil {
		return err
	}
	m.solved(name)
	return nil
}

// RepairFromQuarantine mends a file with one that was put into the quarantine by
// mistake: it reports whether a file there is the one it must be.
func (m *Mirror) RepairFromQuarantine(ctx context.Context, name string) (bool, error) {
	k, err := m.known(name)
	if err != nil {
		return false, err
	}
	r, err := m.inQuarantine(k)
	if err != nil || r == nil {
		return false, err
	}
	defer r.Close() // read only
	return true, m.Repair(ctx, name, "the quarantine", r)
}

// inQuarantine opens the file of the quarantine that is a file of the mirror; nil if
// there is none.
func (m *Mirror) inQuarantine(k knownFile) (io.ReadCloser, error) {
	there, err := disk.Exists(m.fs, m.path("quarantine"))
	if err != nil || !there {
		return nil, err
	}
	files, err := m.fs.ReadDir(m.path("quarantine"))
	if err != nil {
		return nil, fmt.Errorf("list the quarantine: %w", err)
	}
	for _, f := range files {
		at := m.path("quarantine", f.Name())
		if strings.HasPrefix(f.Name(), path.Base(k.name)+".") && k.good(at) == nil {
			return m.fs.Open(at)
		}
	}
	return nil, nil
}

// SignAgain mends a damaged checkpoint without any copy, if that can be done: the same
// log always gives the same file. It reports whether it was done.
func (m *Mirror) SignAgain(ctx context.Context, name string) (bool, error) {
	n, err := strconv.Atoi(path.Base(name))
	if err != nil || filepath.ToSlash(checkpointName(n)) != name {
		return false, nil
	}
	behind, last, ok, err := m.covers(n)
	if err != nil || !ok {
		return false, err
	}
	file, err := m.signedHead(behind, last)
	if err == nil {
		err = m.Repair(ctx, name, "the log itself", bytes.NewReader(file))
	}
	if errors.Is(err, ErrOtherBytes) {
		return false, nil
	}
	return err == nil, err
}

// covers finds which parts a checkpoint covers: as many runs were ended between the
// good ones around it as there are checkpoints to be filled in, else ok is false.
func (m *Mirror) covers(n int) (behind uint32, last index.Part, ok bool, err error) {
	state, err := m.lastCheckpoint()
	if err != nil || n > state.Number {
		return 0, last, false, err
	}
	parts, err := m.Parts()
	if err != nil {
		return 0, last, false, err
	}
	low, high, top := n-1, n, state.Part
	for ; low > 0 && behind == 0; low-- {
		if behind = m.endOf(parts, low); behind > 0 {
			break
		}
	}
	for ; high < state.Number; high++ {
		if at := m.endOf(parts, high); high > n && at > 0 {
			top = at
			break
		}
	}
	var ends []uint32
	for _, r := range m.index.Runs() {
		if r.Closing > behind && r.Closing <= top {
			ends = append(ends, r.Closing)
		}
	}
	slices.Sort(ends)
	i := n - low - 1
	if len(ends) != high-low || i >= len(ends) {
		return 0, last, false, nil
	}
	if i > 0 {
		behind = ends[i-1]
	}
	return behind, parts[ends[i]-1], true, nil
}

// endOf returns the last part that a checkpoint covers; 0 if it cannot be read.
func (m *Mirror) endOf(parts []index.Part, n int) uint32 {
	c, err := m.ReadCheckpoint(n)
	if err != nil {
		return 0
	}
	i := slices.IndexFunc(parts, func(p index.Part) bool { return p.Leaves == c.Size })
	return uint32(i + 1)
}
