package holding

import (
	"slices"
	"time"

	"chartcellar/store/index"
)

// A Cover is something that a holding has and the records lack, in a word.
type Cover struct {
	Word string
	At   time.Time // when the newest file was kept that was said to have it
}

// A Summary is what one holding has.
type Summary struct {
	Name       string
	Files      int   // paths, of which the newest counts
	Size       int64 // of those
	Deliveries []Delivery
	Covers     []Cover // what it has that the records lack
	Formats    int     // documents of its format
}

// Summarize gathers what each holding has, by name in their order. Files come oldest
// first.
func Summarize(files []index.KeptFile) []Summary {
	by := map[string][]index.KeptFile{}
	var names []string
	for _, f := range files {
		if by[f.Holding] == nil {
			names = append(names, f.Holding)
		}
		by[f.Holding] = append(by[f.Holding], f)
	}
	slices.Sort(names)
	list := make([]Summary, 0, len(names))
	for _, name := range names {
		s := Summary{Name: name, Deliveries: Deliveries(by[name])}
		for _, f := range Newest(by[name]) {
			if f.Role == Format {
				s.Formats++
				continue
			}
			s.Files++
			s.Size += f.Size
		}
		s.cover(by[name])
		list = append(list, s)
	}
	return list
}

// cover notes what files are said to have, and of when; they come oldest first.
func (s *Summary) cover(files []index.KeptFile) {
	for _, f := range files {
		for _, w := range f.Covers {
			i := slices.IndexFunc(s.Covers, func(c Cover) bool { return c.Word == w })
			if i < 0 {
				s.Covers = append(s.Covers, Cover{w, f.Taken})
			} else {
				s.Covers[i].At = f.Taken
			}
		}
	}
}

// Words are what it has that the records lack, in words.
func (s Summary) Words() []string {
	list := make([]string, len(s.Covers))
	for i, c := range s.Covers {
		list[i] = c.Word
	}
	return list
}

// Newest is when the newest delivery was kept; zero if there is none.
func (s Summary) Newest() time.Time {
	if len(s.Deliveries) == 0 {
		return time.Time{}
	}
	return s.Deliveries[len(s.Deliveries)-1].At
}

// Periods are how often something may be expected, and after how long without it it is
// late.
func Periods() map[string]time.Duration {
	const day = 24 * time.Hour
	return map[string]time.Duration{"daily": 36 * time.Hour, "weekly": 8 * day, "monthly": 33 * day, "quarterly": 95 * day}
}

// A Trouble is what is wrong with the deliveries of a holding.
type Trouble struct {
	Late    bool          // the newest is older than what is expected
	Never   bool          // something is expected for as long, and nothing ever came
	Half    *Delivery     // has less than half of its usual size
	Usual   int64         // that size
	Equal   *Delivery     // is the same as the one before it
	Broken  *Delivery     // was not whole when it came
	Age     time.Duration // of the newest
	Ordered string        // how often it is expected
}

// Any reports whether anything is wrong.
func (t Trouble) Any() bool {
	return t.Late || t.Never || t.Half != nil || t.Equal != nil || t.Broken != nil
}

// usualOf is how many deliveries before the newest say what is usual.
const usualOf = 7

// Judge says what is wrong with a holding of which something is expected that often,
// since then; any other word, and a time that is not known, expects nothing. Only deliveries of one thing are compared: of the
// same name but for its numbers. Those that came with the newest are judged, within the
// time after which something is late.
func (s Summary) Judge(expected string, since, now time.Time) Trouble {
	period, known := Periods()[expected]
	t := Trouble{Ordered: expected}
	if len(s.Deliveries) == 0 {
		t.Never = known && !since.IsZero() && now.Sub(since) > period
		return t
	}
	t.Age = now.Sub(s.Newest())
	t.Late = known && t.Age > period
	if !known {
		period = 24 * time.Hour
	}
	judged := map[string]bool{}
	for i := len(s.Deliveries) - 1; i >= 0; i-- {
		d := &s.Deliveries[i]
		if judged[d.of()] || s.Newest().Sub(d.At) > period {
			continue
		}
		judged[d.of()] = true
		if d.Problem != "" && t.Broken == nil {
			t.Broken = d
		}
		t.compare(d, s.Deliveries[:i])
	}
	return t
}

// compare lays a delivery beside those of the same thing that came before it.
func (t *Trouble) compare(d *Delivery, before []Delivery) {
	var sizes []int64
	for i := len(before) - 1; i >= 0 && len(sizes) < usualOf; i-- {
		b := before[i]
		if b.of() != d.of() {
			continue
		}
		if len(sizes) == 0 && b.Sum == d.Sum && t.Equal == nil {
			t.Equal = d
		}
		sizes = append(sizes, b.Size)
	}
	if len(sizes) == 0 {
		return
	}
	slices.Sort(sizes)
	if usual := sizes[len(sizes)/2]; d.Size*2 < usual && t.Half == nil {
		t.Half, t.Usual = d, usual
	}
}
