package bulk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"chartcellar/fhirsync/bulk"
	"chartcellar/fhirsync/rest"
)

// A script answers requests from memory.
type script struct {
	do   func(rest.Request) (*rest.Response, error)
	body io.Reader
}

func (s script) Do(_ context.Context, r rest.Request) (*rest.Response, error) { return s.do(r) }
func (s script) Base() string                                                 { return "https://emr.example/fhir" }
func (s script) Stream(context.Context, rest.Request) (*rest.Stream, error) {
	return &rest.Stream{Header: http.Header{}, Body: io.NopCloser(s.body), Length: -1, Framed: true}, nil
}

func TestKickOff(t *testing.T) {
	var asked rest.Request
	c := script{do: func(r rest.Request) (*rest.Response, error) {
		asked = r
		return &rest.Response{Status: 202, Header: http.Header{"Content-Location": {"/job/1"}}}, nil
	}}
	since := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 3600))
	j, err := bulk.KickOff(t.Context(), c, bulk.Request{Level: "group", Group: "a b", Types: []string{"Patient", "Condition"}, Since: since})
	if err != nil || j.StatusURL != "https://emr.example/job/1" {
		t.Errorf("KickOff = %+v, %v", j, err)
	}
	if want := "Group/a%20b/$export?_type=Patient,Condition&_since=2026-01-02T02:04:05.678Z"; asked.URL != want || !asked.NoRetry ||
		asked.Prefer != "respond-async" {
		t.Errorf("asked for %q, retries %v, want %q", asked.URL, !asked.NoRetry, want)
	}
	if _, err := bulk.KickOff(t.Context(), c, bulk.Request{Level: "system", Types: []string{"Patient"}, Since: since, Post: true}); err != nil {
		t.Fatal(err)
	}
	if asked.Method != http.MethodPost || !bytes.Contains(asked.Body, []byte(`"valueInstant":"2026-01-02T02:04:05.678Z"`)) {
		t.Errorf("POST %s", asked.Body)
	}
}

func TestKickOffErrors(t *testing.T) {
	var busy *bulk.BusyError
	var unsupported *bulk.UnsupportedError
	tests := []struct {
		name string
		err  *rest.Error
		good func(error) bool
	}{
		{"lost", &rest.Error{Kind: rest.ServerBroken, Status: 502}, func(err error) bool { return errors.Is(err, bulk.ErrLost) }},
		{"busy", &rest.Error{Kind: rest.Throttled, Status: 429}, func(err error) bool { return errors.As(err, &busy) }},
		{"conflict", &rest.Error{Kind: rest.Refused, Status: 409}, func(err error) bool { return errors.As(err, &busy) }},
		{"POST only", &rest.Error{Kind: rest.Refused, Status: 405}, func(err error) bool { return errors.Is(err, bulk.ErrPostOnly) }},
		{"a type", &rest.Error{Kind: rest.Refused, Status: 400, Outcome: rest.Outcome{Text: "type Condition: no"}},
			func(err error) bool { return errors.As(err, &unsupported) && unsupported.Types[0] == "Condition" }},
		{"something else", &rest.Error{Kind: rest.Refused, Status: 400}, func(err error) bool { return rest.Is(err, rest.Refused) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := script{do: func(rest.Request) (*rest.Response, error) { return nil, tt.err }}
			_, err := bulk.KickOff(t.Context(), c, bulk.Request{Level: "system", Types: []string{"Patient", "Condition"}})
			if !tt.good(err) {
				t.Errorf("KickOff = %v", err)
			}
		})
	}
}

func TestManifestDialects(t *testing.T) {
	for name, raw := range map[string]string{
		"1.0.1": `{"transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":true,"output":[{"type":"Patient","url":"u","count":3}],"error":[{"url":"e"}]}`,
		"3.0":   `{"transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":"true","extension":{},"output":[{"type":"Patient","url":"u","count":3}],"deleted":[],"error":[{"url":"e"}]}`,
		"4.0":   `{"transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":true,"extension":[],"output":[{"type":"Patient","url":"u","count":3}],"outcome":[{"url":"e"}]}`,
	} {
		m, err := bulk.ParseManifest([]byte(raw))
		if err != nil || len(m.Output) != 1 || m.Output[0].Count != 3 || len(m.Errors) != 1 || !m.Token {
			t.Errorf("%s: ParseManifest = %+v, %v", name, m, err)
		}
	}
	m, err := bulk.ParseManifest([]byte(`{"transactionTime":"x","requiresAccessToken":false,"output":[{"type":"A","url":"u"}]}`))
	if err != nil || m.Token || m.Output[0].Count != -1 {
		t.Errorf("ParseManifest = %+v, %v", m, err)
	}
}

func TestCursor(t *testing.T) {
	at := func(min int) time.Time { return time.Date(2026, 1, 1, 10, min, 0, 0, time.UTC) }
	tests := []struct {
		name, manifest string
		kickOff, now   time.Time
		want           time.Time
	}{
		{"the server's time", "2026-01-01T10:10:00Z", at(20), at(30), at(0)},
		{"the end of the job: the kick-off counts", "2026-01-01T10:25:00Z", at(20), at(30), at(10)},
		{"unreadable: the kick-off counts", "soon", at(20), at(30), at(10)},
		{"in the future", "2027-01-01T10:25:00Z", time.Time{}, at(30), at(20)},
		{"an offset without a colon", "2026-01-01T11:10:00+0100", at(20), at(30), at(0)},
		{"a leap second", "2026-01-01T10:09:60Z", at(20), at(30), at(0).Add(-time.Second)},
		{"nothing at all", "soon", time.Time{}, at(30), time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := bulk.Cursor(bulk.Manifest{Time: tt.manifest}, bulk.Job{ServerDate: tt.kickOff}, 10*time.Minute, tt.now)
			if !got.Equal(tt.want) {
				t.Errorf("Cursor = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseDeleted(t *testing.T) {
	line := `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Condition/1"}},` +
		`{"request":{"method":"DELETE","url":"https://h/fhir/Patient/2"}},{"request":{"method":"DELETE","url":"/Device/3"}},` +
		`{"request":{"method":"DELETE","url":"Patient?name=x"}},{"request":{"method":"PUT","url":"Patient/5"}}]}`
	refs, ignored, err := bulk.ParseDeleted([]byte(line))
	if err != nil || ignored != 2 || len(refs) != 3 || refs[1] != (bulk.Ref{Type: "Patient", ID: "2"}) || refs[2].Type != "Device" {
		t.Errorf("ParseDeleted = %v, %d, %v", refs, ignored, err)
	}
}

// read reads a whole file and returns its normalised lines.
func read(t *testing.T, body io.Reader) (string, error) {
	t.Helper()
	l, err := bulk.Open(t.Context(), script{body: body}, bulk.File{Type: "X", URL: "https://emr.example/f"}, true)
	if err != nil {
		return "", err
	}
	defer l.Close()
	var out bytes.Buffer
	for {
		c, err := l.Next(nil)
		out.Write(c.Lines)
		if err == io.EOF {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
	}
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.Bytes()
}

func TestLines(t *testing.T) {
	long := `{"x":"` + strings.Repeat("a", 1<<20) + `"}`
	tests := []struct {
		name, in, out string
		err           error
	}{
		{"plain", "{\"a\":1}\n{\"a\":2}\n", "{\"a\":1}\n{\"a\":2}\n", nil},
		{"carriage returns, blanks, mark, no end", "\ufeff{\"a\":1}\r\n\r\n \n{\"a\":2}", "{\"a\":1}\n{\"a\":2}\n", nil},
		{"long", long + "\n", long + "\n", nil},
		{"cut", "{\"a\":1}\n{\"a\":", "{\"a\":1}\n", bulk.ErrCut},
		{"cut behind a brace", "{\"a\":1}\n{\"a\":{}", "{\"a\":1}\n", bulk.ErrCut},
		{"only a mark and a line", "\ufeff{\"a\":{}}", "{\"a\":{}}\n", nil},
		{"gzip without a header", string(gzipped("{\"a\":1}\n")), "{\"a\":1}\n", nil},
		{"broken gzip", string(gzipped("{\"a\":1}\n")[:22]), "", bulk.ErrCut},
		{"empty", "", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				got, err := read(t, r)
				if got != tt.out || !errors.Is(err, tt.err) {
					t.Errorf("read %d bytes, %v; want %d, %v", len(got), err, len(tt.out), tt.err)
				}
			}
		})
	}
	if _, err := read(t, strings.NewReader("<!DOCTYPE html>")); !rest.Is(err, rest.NotFHIR) {
		t.Errorf("a page: %v", err)
	}
	if _, err := read(t, bytes.NewReader(gzipped(string(gzipped("x"))))); !rest.Is(err, rest.NotFHIR) {
		t.Errorf("gzip in gzip: %v", err)
	}
}

func TestSkip(t *testing.T) {
	text := strings.Repeat("{\"a\":1}\n", 50_000)
	open := func(s string) *bulk.Lines {
		l, err := bulk.Open(t.Context(), script{body: strings.NewReader(s)}, bulk.File{URL: "https://emr.example/f"}, true)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open(text)
	if _, err := l.Next(nil); err != nil {
		t.Fatal(err)
	}
	done := l.Done()
	again := open(text)
	if err := again.Skip(t.Context(), done); err != nil || again.Done() != done {
		t.Errorf("Skip = %v, %+v, want %+v", err, again.Done(), done)
	}
	for name, s := range map[string]string{"changed": "{\"b\":1}\n" + text, "shorter": text[:80]} {
		if err := open(s).Skip(t.Context(), done); !errors.Is(err, bulk.ErrChanged) {
			t.Errorf("%s: Skip = %v, want ErrChanged", name, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("\ufeff{}\r\n\n{}"))
	f.Add(gzipped("{}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err1 := read(t, bytes.NewReader(in))
		pieces, err2 := read(t, iotest.HalfReader(bytes.NewReader(in)))
		if whole != pieces || (err1 == nil) != (err2 == nil) {
			t.Errorf("the size of the pieces matters: %q, %v; %q, %v", whole, err1, pieces, err2)
		}
		for line := range strings.Lines(whole) {
			if strings.TrimSpace(line) == "" || !strings.HasSuffix(line, "\n") {
				t.Errorf("a line is blank or has no end: %q", line)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"transactionTime":"x","output":[{"type":"A","url":"u","count":1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := bulk.ParseManifest(raw)
		if err == nil && m.Output == nil {
			t.Error("no list of files")
		}
		bulk.ParseTime(m.Time)
		bulk.ParseDeleted(raw)
		bulk.ParseIssue(raw, []string{"Patient"})
	})
}
