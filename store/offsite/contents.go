package offsite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"chartcellar/store/keys"
)

// Contents is what a place holds of one mirror: the files under the mirror's own
// names, whichever epoch wrote them.
//
// The first epoch writes at the root, each later one below e0002/, e0003/ and so
// on: a box that was lost and comes back cannot touch what its successor wrote, and
// what it writes after the fork does not count (archive.md 8).
type Contents struct {
	// Statement is the newest that is signed as it must be.
	Statement keys.Statement
	// First is the SHA-256 of mirror/000001.json, in hex; "" if nothing is there.
	First string
	// Wrong says what of the place cannot be believed, one sentence each.
	Wrong []string

	place  Place
	stated [][32]byte               // SHA-256 of each statement
	chain  keys.Chain               // up to Statement
	levels map[int]map[string]found // by epoch
	files  map[string]found         // by the mirror's name
	newest map[string]int           // highest number of a kind, by its folder
}

// A found is where a file of the mirror stands.
type found struct {
	at   string // name at the place
	size int64
}

// numbered are the folders whose files have a number that rises.
var numbered = regexp.MustCompile(`^(mirror|checkpoints|parts/\d+|settings)/(\d+)`)

// kindOf returns the folder and the number of a numbered file; 0 for others.
func kindOf(name string) (kind string, n int) {
	m := numbered.FindStringSubmatch(name)
	if m == nil {
		return "", 0
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return "", 0
	}
	kind, _, _ = strings.Cut(m[1], "/")
	return kind, n
}

// epochs are the folders of later epochs.
var epochs = regexp.MustCompile(`^e(\d{4})/(.+)$`)

// Prefix returns where an epoch writes: "" for the first, else "e0002/".
func Prefix(epoch int) string {
	if epoch <= 1 {
		return ""
	}
	return fmt.Sprintf("e%04d/", epoch)
}

// Read lists a place and finds the highest epoch that is signed as it must be. An
// empty place is no error. What is forged is left aside and said in Wrong.
func Read(ctx context.Context, p Place) (*Contents, error) {
	levels := map[int]map[string]found{}
	err := p.List(ctx, "", func(i Info) error {
		epoch, name := 1, i.Name
		if m := epochs.FindStringSubmatch(i.Name); m != nil {
			epoch, _ = strconv.Atoi(m[1]) // four digits
			name = m[2]
		}
		if !ours(name) {
			return nil
		}
		if levels[epoch] == nil {
			levels[epoch] = map[string]found{}
		}
		levels[epoch][name] = found{i.Name, i.Size}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c := &Contents{place: p, levels: levels}
	return c, c.believe(ctx)
}

// again lists the parts once more, and then the files that they name: while a copy is
// being made, checkpoints may have been listed, or parts, that name what came after its
// folder was.
func (c *Contents) again(ctx context.Context) error {
	for _, epoch := range slices.Sorted(maps.Keys(c.levels)) {
		for _, folder := range []string{"parts", "attachments", "holdings"} {
			err := c.place.List(ctx, Prefix(epoch)+folder, func(i Info) error {
				c.levels[epoch][strings.TrimPrefix(i.Name, Prefix(epoch))] = found{i.Name, i.Size}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	c.overlay()
	return nil
}

// ours reports whether a name is of a mirror's file.
func ours(name string) bool {
	folder, _, ok := strings.Cut(name, "/")
	return ok && slices.Contains([]string{"mirror", "parts", "attachments", "holdings", "checkpoints", "settings"}, folder)
}

// believe takes the highest epoch whose statements are signed as they must be.
func (c *Contents) believe(ctx context.Context) error {
	order := slices.Sorted(maps.Keys(c.levels))
	for len(order) > 0 {
		top := order[len(order)-1]
		files, err := c.read(ctx, order)
		if err != nil {
			return err
		}
		chain, err := keys.VerifyChain(files, "")
		if err == nil && chain.Last().Epoch >= top {
			if last := chain.Last().Epoch; last > top { // a plain copy of an adopted folder
				c.levels[last] = c.levels[top]
				delete(c.levels, top)
			}
			c.chain, c.Statement, c.First = chain, chain.Last(), keys.Hash(files[0])
			for _, f := range files {
				c.stated = append(c.stated, sha256.Sum256(f))
			}
			c.overlay()
			return nil
		}
		if top == 1 && len(files) == 0 {
			return nil // other things lie there, and no mirror
		}
		if err == nil {
			err = errors.New("its statements are of another epoch")
		}
		c.Wrong = append(c.Wrong, fmt.Sprintf("What stands below %q is not signed as it must be and was left aside: %s.", orRoot(Prefix(top)), err))
		order = order[:len(order)-1]
		delete(c.levels, top)
	}
	if len(c.Wrong) > 0 {
		return fmt.Errorf("%s: %w", c.Wrong[0], keys.ErrForged)
	}
	return nil
}

func orRoot(prefix string) string {
	if prefix == "" {
		return "/"
	}
	return prefix
}

// read reads the statements of the highest of these epochs in their order: its own,
// and of each epoch before it those with lower numbers.
func (c *Contents) read(ctx context.Context, order []int) ([][]byte, error) {
	at := map[int]string{}
	limit := int(^uint(0) >> 1)
	for _, epoch := range slices.Backward(order) {
		lowest := limit
		for name, f := range c.levels[epoch] {
			if kind, n := kindOf(name); kind == "mirror" && n < limit {
				at[n] = f.at
				lowest = min(lowest, n)
			}
		}
		limit = lowest
	}
	var files [][]byte
	for n := 1; at[n] != ""; n++ {
		b, err := readSmall(ctx, c.place, at[n])
		if err != nil {
			return nil, err
		}
		files = append(files, b)
	}
	return files, nil
}

// readSmall reads a small file whole.
func readSmall(ctx context.Context, p Place, name string) ([]byte, error) {
	r, err := p.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close() // read only
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Base(name), err)
	}
	return b, nil
}

// overlay takes of each name the file that counts by a chain of statements: that of
// the highest epoch, and none that an epoch wrote after another one had taken over.
func (c *Contents) overlay() {
	forks := forks(c.chain)
	c.files, c.newest = map[string]found{}, map[string]int{}
	for _, epoch := range slices.Sorted(maps.Keys(c.levels)) {
		for name, f := range c.levels[epoch] {
			kind, n := kindOf(name)
			if counts(forks, epoch, kind, n) {
				c.files[name] = f
				c.newest[kind] = max(c.newest[kind], n)
			}
		}
	}
}

// A fork is up to which numbers the epochs before one count, by folder.
type fork map[string]int

// forks returns the fork of each epoch that took over from another.
func forks(chain keys.Chain) map[int]fork {
	all := map[int]fork{}
	for _, s := range chain {
		if s.Epoch > 1 && all[s.Epoch] == nil {
			all[s.Epoch] = fork{"mirror": s.Number - 1, "parts": s.Fork.Parts, "checkpoints": s.Fork.Checkpoints, "settings": s.Fork.Settings}
		}
	}
	return all
}

// counts reports whether a file that an epoch wrote belongs to the history of the
// highest.
func counts(forks map[int]fork, epoch int, kind string, n int) bool {
	if kind == "" {
		return true // named by its content
	}
	for later, f := range forks {
		if later > epoch && n > f[kind] {
			return false
		}
	}
	return true
}

// Empty reports whether there is nothing of a mirror.
func (c *Contents) Empty() bool { return c.First == "" }

// Epoch returns the highest epoch; 0 if the place is empty.
func (c *Contents) Epoch() int { return c.Statement.Epoch }

// Size returns the size of a file of the mirror.
func (c *Contents) Size(name string) (size int64, ok bool) {
	f, ok := c.files[name]
	return f.size, ok
}

// Names returns the names of all files in their order.
func (c *Contents) Names() []string { return slices.Sorted(maps.Keys(c.files)) }

// Newest returns the highest number of the files of a folder.
func (c *Contents) Newest(folder string) int { return c.newest[folder] }

// Open opens a file of the mirror for reading. ErrNotThere if there is none.
func (c *Contents) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	f, ok := c.files[name]
	if !ok {
		return nil, fmt.Errorf("open %s at the second copy: %w", name, ErrNotThere)
	}
	return c.place.Get(ctx, f.at)
}
