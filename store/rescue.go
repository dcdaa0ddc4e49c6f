package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// A Rescue mends the folder of a mirror that cannot be opened: because a statement is
// damaged, or because the index is bad and a part that it must be made from is
// damaged, too. It goes by what is signed: the statements, the checkpoints, and the
// sums in them. It needs the box key and nothing else.
type Rescue struct {
	m     *Mirror
	skey  note.Signer
	named map[string]knownFile // by Broken
}

// OpenRescue takes the lock of the mirror in o.Dir. Errors: ErrNoMirror, *BusyError,
// keys.ErrDamaged if the box key does not open the folder's own secrets.
func OpenRescue(o Options) (*Rescue, error) {
	o.fill()
	m := &Mirror{dir: o.Dir, fs: o.FS, now: o.Now, log: o.Log, box: o.Box, cache: newFrameCache(cacheBytes)}
	if there, err := disk.Exists(m.fs, m.path(logKeyFile)); err != nil || !there {
		return nil, errors.Join(err, ErrNoMirror)
	}
	skey, err := m.secret(logKeyFile, "log key")
	if err != nil {
		return nil, err
	}
	r := &Rescue{m: m, named: map[string]knownFile{}}
	if r.skey, err = note.NewSigner(string(skey)); err != nil {
		return nil, fmt.Errorf("read the log key: %w", keys.ErrDamaged)
	}
	return r, m.takeLock(&o)
}

// Close lets go of the lock.
func (r *Rescue) Close() error { return r.m.lock.Release() }

// Broken returns what is missing or damaged, by what is signed: statements first; only
// when they are good, checkpoints; only when those are, the files that they name, all
// of which are read. Parts that no checkpoint names yet are not looked at, and what
// was declared lost is among what is missing.
func (r *Rescue) Broken(ctx context.Context) ([]Broken, error) {
	list, err := r.among(ctx, r.statements())
	if err != nil || len(list) > 0 {
		return list, err
	}
	chain, err := keys.VerifyChain(r.chain(), "")
	if err == nil {
		err = r.m.setChain(chain)
	}
	if err != nil {
		return nil, err
	}
	if list, err = r.among(ctx, r.checkpoints()); err != nil || len(list) > 0 {
		return list, err
	}
	return r.among(ctx, r.signed())
}

// among returns those of the files that are missing or damaged.
func (r *Rescue) among(ctx context.Context, files []knownFile) (list []Broken, err error) {
	for _, k := range files {
		if ctx.Err() != nil {
			return list, ctx.Err()
		}
		b := Broken{SealedFile: SealedFile{Name: k.name}}
		if r.m.broken(&b, k.good, true) {
			r.named[k.name] = k
			list = append(list, b)
		}
	}
	return list, nil
}

// Repair puts a whole file in the place of one that Broken named, as Repair of a Mirror
// does; but there is no journal to note it in.
func (r *Rescue) Repair(ctx context.Context, name, _ string, from io.Reader) error {
	k, err := r.known(name)
	if err != nil {
		return err
	}
	return r.m.mend(ctx, k, from, func() error { return nil })
}

// RepairFromQuarantine is that of a Mirror.
func (r *Rescue) RepairFromQuarantine(ctx context.Context, name string) (bool, error) {
	k, err := r.known(name)
	if err != nil {
		return false, err
	}
	from, err := r.m.inQuarantine(k)
	if err != nil || from == nil {
		return false, err
	}
	defer from.Close() // read only
	return true, r.Repair(ctx, name, "", from)
}

// SignAgain is that of a Mirror; without an index nothing can be signed.
func (r *Rescue) SignAgain(context.Context, string) (bool, error) { return false, nil }

func (r *Rescue) known(name string) (knownFile, error) {
	k, ok := r.named[name]
	if !ok {
		return k, fmt.Errorf("%s was not found broken: %w", path.Base(name), ErrNotFound)
	}
	return k, nil
}

const maxStatement = 1 << 20

// chain reads the statements in their order; what cannot be read is empty.
func (r *Rescue) chain() (files [][]byte) {
	for n := 1; ; n++ {
		b, err := disk.ReadFile(r.m.fs, r.m.local(statementName(n)), maxStatement)
		if errors.Is(err, fs.ErrNotExist) {
			if next, _ := disk.Exists(r.m.fs, r.m.local(statementName(n+1))); n > 1 && !next {
				return files
			}
		}
		files = append(files, b)
	}
}

// statements are those that are there or have one behind them.
func (r *Rescue) statements() (list []knownFile) {
	for i := range r.chain() {
		list = append(list, knownFile{filepath.ToSlash(statementName(i + 1)), r.sameStatement(i), maxStatement})
	}
	return list
}

// sameStatement judges a statement: it continues the chain, the one behind it names it,
// and the last one has the log key of this folder.
func (r *Rescue) sameStatement(i int) judge {
	return func(path string) error {
		file, err := disk.ReadFile(r.m.fs, path, maxStatement)
		if err != nil {
			return err
		}
		files := r.chain()
		files[i] = file
		s, err := keys.VerifyChain(files[:i+1], "")
		if err != nil {
			return err
		}
		if i+1 < len(files) {
			if _, err := keys.VerifyChain(files[:i+2], ""); errors.Is(err, keys.ErrForged) {
				return ErrOtherBytes
			}
			return nil
		}
		v, err := note.NewVerifier(s.Last().LogKey)
		if err != nil || v.KeyHash() != r.skey.KeyHash() || v.Name() != r.skey.Name() {
			return ErrOtherBytes
		}
		return nil
	}
}

// checkpoints are those up to the last one that is there.
func (r *Rescue) checkpoints() (list []knownFile) {
	numbers, err := r.m.checkpointNumbers()
	if err != nil || len(numbers) == 0 {
		return nil
	}
	for n := 1; n <= numbers[len(numbers)-1]; n++ {
		list = append(list, knownFile{filepath.ToSlash(checkpointName(n)), r.sameCheckpoint(n), maxCheckpoint})
	}
	return list
}

func (r *Rescue) sameCheckpoint(n int) judge {
	return func(path string) error {
		file, err := disk.ReadFile(r.m.fs, path, maxCheckpoint)
		if err != nil {
			return err
		}
		c, err := ParseCheckpoint(file, r.m.LogKeyAt(n))
		if err != nil {
			return err
		}
		return r.m.between(n, c)
	}
}

// signed are the files that the checkpoints name.
func (r *Rescue) signed() (list []knownFile) {
	sums := map[string][32]byte{}
	for i, k := range r.checkpoints() {
		file, err := disk.ReadFile(r.m.fs, r.m.local(k.name), maxCheckpoint)
		if err != nil {
			continue
		}
		if c, err := ParseCheckpoint(file, r.m.LogKeyAt(i+1)); err == nil {
			maps.Copy(sums, c.Files)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		list = append(list, knownFile{name, r.sameSum(sums[name]), 1 << 40})
	}
	return list
}

func (r *Rescue) sameSum(sum [32]byte) judge {
	return func(path string) error {
		_, got, err := archive.Sum(r.m.fs, path)
		if err == nil && got != sum {
			err = ErrOtherBytes
		}
		return err
	}
}
