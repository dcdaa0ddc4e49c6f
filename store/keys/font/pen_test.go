package font_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"chartcellar/store/keys/font"
)

func pen(t testing.TB) *font.Pen {
	t.Helper()
	p := font.NewPen(font.Document("names", time.Unix(0, 0).UTC()))
	p.AddPage()
	p.SetFont("text", "", 12)
	return p
}

// document returns the bytes of a document.
func document(t testing.TB, p *font.Pen) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Output(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTwoAtOnce: documents that are made at the same time share no bytes that one writes,
// and come out alike.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	made := make([][]byte, 4)
	var allLetters string
	for r := rune(0x20); r < 0x2200; r++ {
		allLetters += string(r)
	}
	var g sync.WaitGroup
	for i := range made {
		g.Go(func() {
			p := font.Document("keys", time.Unix(0, 0).UTC())
			p.AddPage()
			for _, face := range []string{"text", "mono"} {
				p.SetFont(face, "", 12)
				p.CellFormat(100, 10, allLetters, "", 1, "", false, 0, "")
			}
			var b bytes.Buffer
			if err := p.Output(&b); err != nil {
				t.Error(err)
			}
			made[i] = b.Bytes()
		})
	}
	g.Wait()
	for i, b := range made {
		if len(b) < 1000 || !bytes.Equal(b, made[0]) {
			t.Errorf("document %d has %d bytes and is not as the first", i, len(b))
		}
	}
}

func TestLacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"plain", "Miller, Ann 1970", ""},
		{"accents of Europe", "Ångström Łukasz Şahin Dvořák Œ ß", ""},
		{"Greek and Cyrillic", "Παπαδόπουλος Иванов", ""},
		{"signs of a chart", "°C µg ≤ ≥ ± → … □ ½", ""},
		{"Chinese", "Wang 王小明 王", "王小明"},
		{"Korean and Japanese", "김 さ", "김さ"},
		{"India", "अनिल রবি ગુજ ਸਿੰ தமி తె ಕನ್ನ മല", ""},
		{"South-East Asia", "ผู้ป่วย ລາວ ភាសា", ""},
		{"read from right to left", "כהן עלי علي پژمان ٹھیک", ""},
		{"unseen marks", "a\u200db\u200e\u200f", ""},
		{"a face, and a letter outside the basic plane", "😀𐐷", "𐐷"},
	} {
		if got := string(font.Lacks(c.text)); got != c.want {
			t.Errorf("%s: Lacks(%q) = %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

// TestCopied: what is printed is copied out of the file with the letters that were
// written, sign by sign as it stands on paper.
func TestCopied(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, text, want string }{
		{"plain", "Miller, Ann", "Miller, Ann"},
		{"Arabic stands from right to left", "علي", "يلع"},
		{"two letters in one sign", "السلام", "مالسلا"},
		{"a number keeps its order", "Room علي 123", "Room 123 يلع"},
		{"English beside Hebrew", "Name כהן of", "Name ןהכ of"},
		{"a bracket is turned, and copied as it was written", "כהן (א)", ")א( ןהכ"},
		{"what begins from right to left", "כהן, 1970", "1970 ,ןהכ"},
		{"things beside each other are not turned", "כהן · 1970 · דן; 17", "ןהכ · 1970 · ןד; 17"},
		{"points below letters", "דָּוִד", turned("דָּוִד")},
		{"letters that change places on paper", "हिन्दी", "हिन्दी"},
		{"a vowel on both sides", "கோ", "க\u0bc7\u0bbe"},
		{"marks above each other", "ผู้ป่วย", "ผู้ป่วย"},
		{"an accent of its own", "Zoe\u0301", "Zoe\u0301"},
		{"no face has it", "王 علي", "□ يلع"},
		{"an unseen mark", "\u200fabc", "abc\u200f"},
	}
	p := pen(t)
	for _, c := range cases {
		p.CellFormat(100, 8, c.text, "", 1, "L", false, 0, "")
		p.CellFormat(100, 8, "|", "", 1, "L", false, 0, "")
	}
	lines := strings.Split(copied(t, document(t, p)), "|")
	for i, c := range cases {
		if lines[i] != c.want {
			t.Errorf("%s: %q is copied as %q (%+q), want %q", c.name, c.text, lines[i], lines[i], c.want)
		}
	}
}

// turned returns letters in the other order.
func turned(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

// TestSplit: no line is wider than it may be, and no letter is lost.
func TestSplit(t *testing.T) {
	t.Parallel()
	p := pen(t)
	for _, text := range []string{"محمد بن عبد الله بن علي بن حسن بن محمد", strings.Repeat("ابجد", 300), strings.Repeat("王小明", 200), "אב · " + strings.Repeat("Anna ", 40) + "· גד",
		strings.Repeat("क्षत्रिय", 80), strings.Repeat("plain words ", 30), "one\nשתיים\n\nthree", strings.Repeat("́", 500), ""} {
		lines := p.SplitText(text, 40)
		for _, l := range lines {
			if w := p.GetStringWidth(l); w > 40 && len([]rune(l)) > 1 {
				t.Errorf("a line is %.1f wide: %q", w, l)
			}
		}
		bare := strings.NewReplacer(" ", "", "\n", "", "\u200f", "")
		if got := bare.Replace(strings.Join(lines, "")); got != bare.Replace(text) {
			t.Errorf("%q became %q", text, lines)
		}
	}
	if got := p.SplitText("محمد بن عبد الله بن علي بن حسن 17", 40); len(got) < 2 || !strings.HasPrefix(got[1], "\u200f") {
		t.Errorf("a further line does not go on from right to left: %q", got)
	}
}

// TestSameBytes: the same content gives the same bytes, with every face.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	var files [2][]byte
	for i := range files {
		p := pen(t)
		for _, style := range []string{"", "B"} {
			p.SetFont("text", style, 9)
			for _, s := range []string{"Ann علي السلام", "हिन्दी क्षत्रिय बाংলা", "தமிழ் తెలుగు ಕನ್ನಡ മലയാളം ગુજ ਸਿੰ ไทย ລາວ ខ្មែរ"} {
				p.CellFormat(100, 8, s, "", 1, "L", true, 0, "")
			}
		}
		files[i] = document(t, p)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two documents differ")
	}
}

// TestManyMeanings: a sign that stands for more letters than it has codes is still printed.
func TestManyMeanings(t *testing.T) {
	t.Parallel()
	p := pen(t)
	for i := range 300 {
		p.CellFormat(100, 0.5, "א"+string(rune(0x300+i%0x70))+string(rune(0x300+i/3)), "", 1, "L", false, 0, "")
	}
	if n := strings.Count(copied(t, document(t, p)), "א"); n != 300 {
		t.Errorf("%d of 300 letters are there", n)
	}
}

func FuzzPen(f *testing.F) {
	for _, s := range []string{"Ann", "علي (a) 12", "हिन्दी ि ्", "\u202eabc\u2066", "\xff王", "ำ้\u0e33"} {
		f.Add(s)
	}
	p := pen(f) // a document takes 80 ms
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		for _, l := range p.SplitText(s, 50) {
			p.CellFormat(50, 5, l, "", 1, "L", false, 0, "")
		}
		if p.Err() {
			t.Error(p.Error())
		}
	})
}

var (
	object = regexp.MustCompile(`(?s)\n(\d+) 0 obj\n(.*?)\nendobj`)
	stream = regexp.MustCompile(`(?s)/Length (\d+)>>\nstream\n`)
	named  = regexp.MustCompile(`/(F\S+) (\d+) 0 R`)
	unique = regexp.MustCompile(`/ToUnicode (\d+) 0 R`)
	means  = regexp.MustCompile(`<([0-9A-F]{4})> <([0-9A-F]*)>`)
	shown  = regexp.MustCompile(`(?s)/(F\S+) [\d.]+ Tf|\(((?:[^\\()]|\\.)*)\) ?Tj`)
)

// copied returns what a reader copies out of a document of one page, in the order in
// which it stands there.
func copied(t testing.TB, doc []byte) string {
	t.Helper()
	objects := map[string]string{} // the last of a number counts
	for _, m := range object.FindAllSubmatch(doc, -1) {
		objects[string(m[1])] = string(m[2])
	}
	fonts := map[string]map[string]string{}
	for _, m := range named.FindAllSubmatch(doc, -1) {
		letters := map[string]string{}
		if u := unique.FindStringSubmatch(objects[string(m[2])]); u != nil {
			_, list, _ := strings.Cut(objects[u[1]], "beginbfchar")
			for _, c := range means.FindAllStringSubmatch(list, -1) {
				letters[c[1]] = c[2]
			}
		}
		fonts[string(m[1])] = letters
	}
	var out []byte
	m := stream.FindSubmatchIndex(doc)
	z, err := zlib.NewReader(bytes.NewReader(doc[m[1]:]))
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var face map[string]string
	for _, s := range shown.FindAllSubmatch(page, -1) {
		if len(s[1]) > 0 {
			face = fonts[string(s[1])]
			continue
		}
		plain := regexp.MustCompile(`(?s)\\(.)`).ReplaceAllFunc(s[2], func(e []byte) []byte { return bytes.ReplaceAll(e[1:], []byte("r"), []byte("\r")) })
		for c := range slices.Chunk(plain, 2) {
			code := fmt.Sprintf("%X", c)
			if len(face) > 0 { // else each code is its letter
				code = face[code]
			}
			for ; len(code) >= 4; code = code[4:] {
				n, err := strconv.ParseUint(code[:4], 16, 16)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, byte(n>>8), byte(n))
			}
		}
	}
	var units []uint16
	for i := 0; i+1 < len(out); i += 2 {
		units = append(units, uint16(out[i])<<8|uint16(out[i+1]))
	}
	return string(utf16.Decode(units))
}
