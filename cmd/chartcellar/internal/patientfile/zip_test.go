package patientfile_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/patientfile"
	"chartcellar/store/chart"
)

// unpacked returns the files of a package by name.
func unpacked(t testing.TB, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || files[f.Name] != "" {
			t.Fatalf("%s: %v, or it is there twice", f.Name, err)
		}
		files[f.Name] = string(text)
	}
	return files
}

func pack(t testing.TB, p *patient, c patientfile.Choice) (map[string]string, patientfile.Made) {
	t.Helper()
	var b bytes.Buffer
	one := patientfile.Package{Cover: cover, Choice: c, Base: "https://emr.example/fhir"}
	m, err := one.Write(t.Context(), &b, p)
	if err != nil {
		t.Fatal(err)
	}
	return unpacked(t, b.Bytes()), m
}

func TestPackage(t *testing.T) {
	t.Parallel()
	p := ann()
	files, m := pack(t, p, patientfile.Choice{Sections: []string{"results"}})
	var names []string
	for n := range files {
		names = append(names, n)
		if n == "SHA256SUMS" {
			continue
		}
		if line := fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(files[n])), n); !strings.Contains(files["SHA256SUMS"], line) {
			t.Errorf("the check sum of %s is missing or wrong", n)
		}
	}
	slices.Sort(names)
	want := []string{"README.txt", "SHA256SUMS", "documents/0001-2026-01-05.pdf", "documents/0002-2026-01-05.html.txt", "index.html", "records.json", "summary.pdf"}
	if !slices.Equal(names, want) {
		t.Errorf("in the package: %q, want %q", names, want)
	}
	if files[want[2]] != "%PDF-1.4 letter" || files[want[3]] != "<script>" {
		t.Errorf("documents: %q, %q", files[want[2]], files[want[3]])
	}
	if m.Count.Records() != 10 || m.Count.Taken != 9 || m.Held != 2 || len(m.Documents) != 3 || m.Damaged() {
		t.Errorf("%+v", m)
	}
	for _, w := range []string{"Miller, Ann", "Purpose: asked for in person", "For: the patient", "2 of the 3 that", "9 of 10 are in this file", "Dr. Example"} {
		if !strings.Contains(files["README.txt"], w) {
			t.Errorf("README.txt does not say %q:\n%s", w, files["README.txt"])
		}
	}
	for _, w := range []string{`<a href="documents/0001-2026-01-05.pdf">`, "not here", "the copy does not hold this document", "2 of 3", "Lisinopril", `href="summary.pdf"`} {
		if !strings.Contains(files["index.html"], w) {
			t.Errorf("index.html does not say %q", w)
		}
	}
	all := strings.Join(pagesOf(t, []byte(files["summary.pdf"])), "\n")
	if !strings.Contains(all, "Lisinopril") || strings.Contains(all+files["index.html"]+files["records.json"], "SECRET-DIAGNOSIS") {
		t.Error("the summary lacks a section, or something sensitive is in the package")
	}
}

// TestBundle: a FHIR Bundle in which the bytes of each record are those of the EMR.
func TestBundle(t *testing.T) {
	t.Parallel()
	p := ann()
	files, _ := pack(t, p, patientfile.Choice{Sensitive: true})
	var b struct {
		ResourceType, Type, Timestamp string
		Entry                         []struct {
			FullURL  string `json:"fullUrl"`
			Resource json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(files["records.json"]), &b); err != nil {
		t.Fatal(err)
	}
	if b.ResourceType != "Bundle" || b.Type != "collection" || b.Timestamp != "2026-03-01T18:00:00Z" || len(b.Entry) != len(p.lines) {
		t.Fatalf("%s %s %s with %d entries, want %d", b.ResourceType, b.Type, b.Timestamp, len(b.Entry), len(p.lines))
	}
	for i, e := range b.Entry {
		if string(e.Resource) != p.lines[i] {
			t.Errorf("record %d was changed:\n%s\n%s", i, e.Resource, p.lines[i])
		}
	}
	if got := b.Entry[1].FullURL; got != "https://emr.example/fhir/AllergyIntolerance/a1" {
		t.Errorf("fullUrl = %q", got)
	}
}

// TestHostileNames: nothing that a record says names a file.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	var content []string
	for i, kind := range []string{"application/pdf; name=\"../../x.exe\"", "IMAGE/PNG", "../x", "", "text/html", "image/svg+xml", "application/xml", "application/octet-stream"} {
		content = append(content, fmt.Sprintf(`{"attachment":{"contentType":%q,"data":"QQ==","title":"../../e%d.exe","creation":"../../2026"}}`, kind, i))
	}
	p := &patient{lines: []string{`{"resourceType":"Patient","id":"p"}`,
		`{"resourceType":"DocumentReference","id":"../../d","status":"current","date":"2026-99-99/../..","content":[` + strings.Join(content, ",") + `]}`}}
	files, m := pack(t, p, patientfile.Choice{})
	safe := regexp.MustCompile(`^(documents/\d{4}(-\d{4}-\d\d-\d\d)?\.(pdf|png|bin|html\.txt|xml\.txt)|README\.txt|SHA256SUMS|index\.html|records\.json|summary\.pdf)$`)
	for n := range files {
		if !safe.MatchString(n) {
			t.Errorf("a file is named %q", n)
		}
	}
	if m.Held != 8 {
		t.Errorf("%d of 8 documents", m.Held)
	}
}

// TestDamaged: a document that ends in damage is said not to be whole; records that could
// not be read are counted.
func TestDamaged(t *testing.T) {
	t.Parallel()
	p := ann()
	p.broken = map[string]bool{"https://emr.example/Binary/1": true}
	p.unread = map[string]int{"Condition": 3}
	files, m := pack(t, p, patientfile.Choice{})
	if !m.Damaged() || m.Count.Unread != 3 || m.Count.Records() != 13 || !strings.Contains(files["index.html"], "stored bytes of this document are damaged") {
		t.Errorf("%+v", m)
	}
	if !strings.Contains(files["README.txt"], "Could not be read: 3 of 13 records.") {
		t.Errorf("%s", files["README.txt"])
	}
	p = ann()
	p.lines[0] = strings.Replace(p.lines[0], `"id":"p1"`, `"id":"p1","meta":{"security":[{"code":"V"}]}`, 1)
	var b bytes.Buffer
	one := patientfile.Package{Cover: cover}
	if _, err := one.Write(t.Context(), &b, p); !errors.Is(err, patientfile.ErrLabelled) || b.Len() > 0 {
		t.Errorf("a labelled patient: %v, %d bytes", err, b.Len())
	}
}

// A noisy patient has one large document, and looks how much of it has gone on.
type noisy struct {
	*patient
	size int64
	out  *counting
	most int64 // that was read and not written yet
}

type counting struct{ n int64 }

// Write implements io.Writer.
func (c *counting) Write(b []byte) (int, error) { c.n += int64(len(b)); return len(b), nil }

// Open implements patientfile.Patient.
func (n *noisy) Open(context.Context, *chart.Attachment) (io.ReadCloser, error) {
	r := io.LimitReader(rand.NewChaCha8([32]byte{}), n.size)
	return io.NopCloser(io.TeeReader(r, lag{n, new(int64)})), nil
}

type lag struct {
	n    *noisy
	read *int64
}

// Write implements io.Writer.
func (l lag) Write(b []byte) (int, error) {
	*l.read += int64(len(b))
	l.n.most = max(l.n.most, *l.read-l.n.out.n)
	return len(b), nil
}

// TestStreamed: a large document goes through, and is not held.
func TestStreamed(t *testing.T) {
	t.Parallel()
	n := &noisy{patient: &patient{lines: []string{`{"resourceType":"Patient","id":"p"}`,
		`{"resourceType":"DocumentReference","id":"d","status":"current","content":[{"attachment":{"url":"u"}}]}`}}, size: 16 << 20, out: &counting{}}
	one := patientfile.Package{Cover: cover}
	m, err := one.Write(t.Context(), n.out, n)
	if err != nil || len(m.Documents) != 1 || m.Documents[0].Size != n.size || n.out.n < n.size {
		t.Fatalf("%+v, %d bytes, %v", m, n.out.n, err)
	}
	if n.most > 1<<20 {
		t.Errorf("%d bytes of a document were held in memory", n.most)
	}
}

// TestSeal: a package with a password is opened by age, and by nothing else.
func TestSeal(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := patientfile.Seal(&b, "blue horse 7 lamps")
	if err == nil {
		_, err = io.WriteString(w, "PK package")
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil || bytes.Contains(b.Bytes(), []byte("PK")) {
		t.Fatalf("%v, or it is readable", err)
	}
	for password, good := range map[string]bool{"blue horse 7 lamps": true, "blue horse 7 lamp": false} {
		id, err := age.NewScryptIdentity(password)
		if err != nil {
			t.Fatal(err)
		}
		r, err := age.Decrypt(bytes.NewReader(b.Bytes()), id)
		if (err == nil) != good {
			t.Fatalf("%s: %v", password, err)
		}
		if !good {
			continue
		}
		if got, err := io.ReadAll(r); string(got) != "PK package" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}
