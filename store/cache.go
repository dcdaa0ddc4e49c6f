package store

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"filippo.io/age"

	"chartcellar/store/archive"
)

// cacheBytes bounds the decoded frames in memory; openParts the open files.
const (
	cacheBytes = 24 << 20
	openParts  = 32
)

// A frameCache holds recently read frames and open parts.
type frameCache struct {
	limit int

	// mu covers what follows.
	mu     sync.Mutex
	size   int
	frames map[frameID]*list.Element
	recent *list.List // of *cachedFrame, newest first
	parts  map[uint32]*openPart
	order  []uint32 // of parts, oldest first
	codecs []*archive.Codec
	times  uint64 // how often something was forgotten: what was read before is not put back
}

type frameID struct {
	part  uint32
	frame int
}

type cachedFrame struct {
	id      frameID
	kind    archive.FrameKind
	typ     string
	source  string
	fetched string
	plain   []byte
	ends    []int32 // of the lines in plain, each with its newline
}

func newCachedFrame(id frameID, info archive.FrameInfo, foot archive.Footer, plain []byte) *cachedFrame {
	f := &cachedFrame{id: id, kind: info.Kind, typ: info.Type, source: foot.Source, fetched: foot.Fetched, plain: plain,
		ends: make([]int32, 0, info.Lines)}
	for at := 0; at < len(plain); {
		n := bytes.IndexByte(plain[at:], '\n')
		if n < 0 {
			break
		}
		at += n + 1
		f.ends = append(f.ends, int32(at))
	}
	return f
}

// line returns line n, from 0, without its newline.
func (f *cachedFrame) line(n int) ([]byte, bool) {
	if n < 0 || n >= len(f.ends) {
		return nil, false
	}
	from := int32(0)
	if n > 0 {
		from = f.ends[n-1]
	}
	return f.plain[from : f.ends[n]-1], true
}

// An openPart is closed when it has left the cache and nobody reads it.
type openPart struct {
	*archive.Part
	readers int
	gone    bool
}

func newFrameCache(limit int) *frameCache {
	return &frameCache{limit: limit, frames: map[frameID]*list.Element{}, recent: list.New(),
		parts: map[uint32]*openPart{}}
}

// frame returns a decoded, checked frame. Its bytes must not be modified.
func (m *Mirror) frame(part uint32, n int) (*cachedFrame, error) {
	if m.index.Lost()[part] { // also where it is still in memory
		return nil, fmt.Errorf("part %d: %w", part, ErrLost)
	}
	id := frameID{part, n}
	f, times := m.cache.get(id)
	if f != nil {
		return f, nil
	}
	p, err := m.usePart(part)
	if err != nil {
		return nil, err
	}
	defer m.cache.release(p)
	c := m.cache.codec()
	defer m.cache.putCodec(c)
	plain, err := p.Frame(c, n, nil)
	if err != nil {
		return nil, err
	}
	f = newCachedFrame(id, p.Footer.Frames[n], p.Footer, plain)
	m.cache.put(f, times)
	return f, nil
}

// usePart returns an open part; release must follow.
func (m *Mirror) usePart(n uint32) (*openPart, error) {
	p, times := m.cache.part(n)
	id, err := m.key()
	if err == nil && m.index.Lost()[n] {
		err = fmt.Errorf("part %d: %w", n, ErrLost)
	}
	if err != nil {
		if p != nil {
			m.cache.release(p)
		}
		return nil, err
	}
	if p != nil {
		return p, nil
	}
	opened, err := m.openPart(n, id)
	if err != nil {
		return nil, err
	}
	return m.cache.addPart(n, opened, times), nil
}

// openPart opens a part that is not shared. One that is not there is damage, too.
func (m *Mirror) openPart(n uint32, id age.Identity) (*archive.Part, error) {
	p, err := archive.OpenPart(m.fs, m.dir, archive.PartNumber(n), ageIdentity(id)...)
	if errors.Is(err, fs.ErrNotExist) {
		m.named()
		p, err = archive.OpenPart(m.fs, m.dir, archive.PartNumber(n), ageIdentity(id)...)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(ErrDamaged, err)
	}
	return p, err
}

// get returns a frame, nil if it must be read, and the time of asking, for put.
func (c *frameCache) get(id frameID) (*cachedFrame, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.frames[id]
	if e == nil {
		return nil, c.times
	}
	c.recent.MoveToFront(e)
	return e.Value.(*cachedFrame), c.times
}

// put keeps a frame that was read, unless something was forgotten meanwhile.
func (c *frameCache) put(f *cachedFrame, times uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times != times || c.frames[f.id] != nil || len(f.plain) > c.limit/4 {
		return
	}
	c.frames[f.id] = c.recent.PushFront(f)
	c.size += len(f.plain)
	for c.size > c.limit {
		e := c.recent.Back()
		old := c.recent.Remove(e).(*cachedFrame)
		delete(c.frames, old.id)
		c.size -= len(old.plain)
	}
}

// part returns an open part, nil if it must be opened, and the time of asking, for
// addPart.
func (c *frameCache) part(n uint32) (*openPart, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[n]
	if p != nil {
		p.readers++
	}
	return p, c.times
}

// addPart puts a part into the cache, unless another reader was faster. One that was
// opened before something was forgotten is for this reader alone.
func (c *frameCache) addPart(n uint32, part *archive.Part, times uint64) *openPart {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times != times {
		return &openPart{Part: part, readers: 1, gone: true}
	}
	if p := c.parts[n]; p != nil {
		part.Close() // read only
		p.readers++
		return p
	}
	p := &openPart{Part: part, readers: 1}
	c.parts[n] = p
	c.order = append(c.order, n)
	if len(c.order) > openParts {
		c.evict(c.order[0])
		c.order = c.order[1:]
	}
	return p
}

// evict takes a part out of the cache. The caller holds mu.
func (c *frameCache) evict(n uint32) {
	p := c.parts[n]
	delete(c.parts, n)
	p.gone = true
	if p.readers == 0 {
		p.Close() // read only
	}
}

func (c *frameCache) release(p *openPart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.readers--
	if p.gone && p.readers == 0 {
		p.Close() // read only
	}
}

func (c *frameCache) codec() *archive.Codec {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.codecs); n > 0 {
		last := c.codecs[n-1]
		c.codecs = c.codecs[:n-1]
		return last
	}
	return archive.NewCodec()
}

func (c *frameCache) putCodec(codec *archive.Codec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.codecs) < 4 {
		c.codecs = append(c.codecs, codec)
	}
}

// forget forgets the frames of one part and closes it.
func (c *frameCache) forget(part uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times++
	for id, e := range c.frames {
		if id.part == part {
			c.size -= len(c.recent.Remove(e).(*cachedFrame).plain)
			delete(c.frames, id)
		}
	}
	if i := slices.Index(c.order, part); i >= 0 {
		c.evict(part)
		c.order = slices.Delete(c.order, i, i+1)
	}
}

// drop forgets all frames and closes all parts.
func (c *frameCache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times++
	c.frames, c.size = map[frameID]*list.Element{}, 0
	c.recent.Init()
	for _, n := range c.order {
		c.evict(n)
	}
	c.order = nil
}
