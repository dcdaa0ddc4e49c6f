package fakeemr_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

type link struct {
	ContentType, URL, Hash string
	Size                   *int64
	Data                   []byte
}

// links returns the attachments of everything an EMR holds, by parent.
func (c *caller) links() map[string][]link {
	c.t.Helper()
	out := map[string][]link{}
	for _, typ := range []string{"Patient", "DocumentReference", "DiagnosticReport"} {
		for id, line := range c.held(typ) {
			var m struct {
				Photo, PresentedForm []link
				Content              []struct{ Attachment link }
			}
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				c.t.Fatal(err)
			}
			list := append(m.Photo, m.PresentedForm...)
			for _, one := range m.Content {
				list = append(list, one.Attachment)
			}
			if len(list) > 0 {
				out[typ+"/"+id] = list
			}
		}
	}
	return out
}

// aPDF returns the id and the bytes of a Binary.
func (c *caller) aPDF() (string, []byte) {
	c.t.Helper()
	for id, line := range c.held("Binary") {
		var b struct {
			ContentType string
			Data        []byte
		}
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			c.t.Fatal(err)
		}
		if b.ContentType == "application/pdf" {
			return id, b.Data
		}
	}
	c.t.Fatal("there is no PDF")
	return "", nil
}

// TestAttachments: size and hash are those of the raw bytes, and a report
// presents the same Binary as a document.
func TestAttachments(t *testing.T) {
	c := call(t, few())
	kinds, urls := map[string]int{}, map[string][]string{}
	for parent, list := range c.links() {
		for _, a := range list {
			data := a.Data
			if a.URL != "" {
				urls[a.URL] = append(urls[a.URL], parent)
				data = c.get(a.URL, "Accept", a.ContentType+", application/octet-stream;q=0.5").body
			}
			sum := sha1.Sum(data)
			if a.Size == nil || *a.Size != int64(len(data)) || a.Hash != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Errorf("%s: size %v and hash %s are not those of %d bytes", parent, a.Size, a.Hash, len(data))
			}
			kinds[a.ContentType]++
		}
	}
	shared := 0
	for _, parents := range urls {
		if len(parents) == 2 {
			shared++
		}
	}
	if len(kinds) != 4 || kinds["image/png"] == 0 || shared == 0 {
		t.Errorf("kinds %v, %d shared; want four kinds, photos, and some shared", kinds, shared)
	}
}

// TestGenerated: what references are there, and that they lead somewhere.
func TestGenerated(t *testing.T) {
	c := call(t, few())
	seen := map[string]int{}
	for typ, member := range map[string]string{"DiagnosticReport": `"result":[`, "Observation": `"hasMember":[`, "MedicationRequest": `"medicationReference":`} {
		for id, line := range c.held(typ) {
			if !strings.Contains(line, member) {
				continue
			}
			seen[typ]++
			for _, part := range strings.Split(line, `"reference":"`)[1:] {
				ref, _, _ := strings.Cut(part, `"`)
				if r := c.get(ref); r.status != 200 {
					t.Errorf("%s/%s refers to %s: %d", typ, id, ref, r.status)
				}
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("seen %v, want three kinds of references", seen)
	}
}

// TestNegotiation: raw bytes unless FHIR is asked for (P106).
func TestNegotiation(t *testing.T) {
	tests := []struct {
		mode, accept, want string
		status             int
	}{
		{"", "", "application/pdf", 200}, {"", "*/*", "application/pdf", 200},
		{"", "application/pdf, application/octet-stream;q=0.5", "application/pdf", 200},
		{"", "application/fhir+json", "application/fhir+json", 200}, {"", "application/json", "application/fhir+json", 200},
		{"", "application/fhir+json;q=0.2, application/pdf", "application/pdf", 200},
		{"json", "application/pdf", "application/fhir+json", 200}, {"406", "application/pdf", "", 406},
		{"406", "application/fhir+json", "application/fhir+json", 200},
	}
	c := call(t, few())
	id, raw := c.aPDF()
	for _, tt := range tests {
		c.e.Set(fakeemr.Faults{BinaryMode: tt.mode})
		r := c.get("Binary/"+id, "Accept", tt.accept)
		if r.status != tt.status || tt.want != "" && r.header.Get("Content-Type") != tt.want {
			t.Errorf("%s, Accept %q: %d %s, want %d %s", tt.mode, tt.accept, r.status, r.header.Get("Content-Type"), tt.status, tt.want)
		}
		switch tt.want {
		case "application/pdf":
			if !bytes.Equal(r.body, raw) || r.header.Get("ETag") == "" {
				t.Errorf("Accept %q: other bytes, ETag %s", tt.accept, r.header.Get("ETag"))
			}
		case "application/fhir+json":
			if string(r.body) != c.held("Binary")[id] {
				t.Errorf("Accept %q: not the resource", tt.accept)
			}
		}
	}
	if n := c.e.Served(); n.Attachments != len(tests) || n.Reads != len(tests) {
		t.Errorf("attachments %d, reads %d; want %d", n.Attachments, n.Reads, len(tests))
	}
	if r := c.get("Binary/"+id, "Authorization", ""); r.status != 401 {
		t.Errorf("without a token: %d, want 401", r.status)
	}
	if r := c.get("Binary/none"); r.status != 404 {
		t.Errorf("Binary/none: %d, want 404", r.status)
	}
}

func TestAttachmentFaults(t *testing.T) {
	c := call(t, few())
	id, raw := c.aPDF()
	get := func(f fakeemr.Faults) reply {
		t.Helper()
		c.e.Set(f)
		return c.get("Binary/" + id)
	}
	if r := get(fakeemr.Faults{AttachmentHTML: true}); r.status != 200 || !bytes.Contains(r.body, []byte("<html>")) || r.header.Get("Content-Type") != "text/html" {
		t.Errorf("a login page: %d %s", r.status, r.body)
	}
	if r := get(fakeemr.Faults{AttachmentHTML: true, AttachmentType: "application/pdf"}); !bytes.Contains(r.body, []byte("<html>")) || r.header.Get("Content-Type") != "application/pdf" {
		t.Errorf("a login page as PDF: %s", r.header.Get("Content-Type"))
	}
	if r := get(fakeemr.Faults{AttachmentType: "text/plain"}); !bytes.Equal(r.body, raw) || r.header.Get("Content-Type") != "text/plain" {
		t.Errorf("another type: %s", r.header.Get("Content-Type"))
	}
	if r := get(fakeemr.Faults{AttachmentCut: true}); r.status != 200 || r.err != nil || len(r.body) != len(raw)/2 {
		t.Errorf("cut: %d, %v, %d bytes of %d", r.status, r.err, len(r.body), len(raw))
	}
	if r := get(fakeemr.Faults{AttachmentStatus: 503, AttachmentTimes: 2}); r.status != 503 {
		t.Errorf("status: %d, want 503", r.status)
	}
	if a, b := c.get("Binary/"+id), c.get("Binary/"+id); a.status != 503 || b.status != 200 {
		t.Errorf("then: %d, %d; want 503, 200", a.status, b.status)
	}
	for range 3 {
		if r := get(fakeemr.Faults{AttachmentStatus: 500}); r.status != 500 {
			t.Errorf("for ever: %d, want 500", r.status)
		}
	}
	seen := 0
	c.e.Set(fakeemr.Faults{OnAttachment: func(n int) { seen = n }})
	c.get("Binary/" + id)
	if seen != c.e.Served().Attachments || seen != 11 {
		t.Errorf("the hook saw %d, the counter %d, want 11", seen, c.e.Served().Attachments)
	}
	before := c.links()
	c.e.Set(fakeemr.Faults{WrongHash: true})
	for parent, list := range c.links() {
		if !strings.HasPrefix(parent, "Patient") && list[0].Hash == before[parent][0].Hash {
			t.Errorf("%s: the hash is right", parent)
		}
	}
}

// TestAttachmentURLs: each form is served everywhere as the oracle says.
func TestAttachmentURLs(t *testing.T) {
	c := call(t, few())
	for form, want := range map[string]string{"": `"url":"Binary/`, "absolute": `"url":"` + c.e.BaseURL() + "/Binary/",
		"signed": `"url":"https://127.0.0.1:`, "evil": `"url":"` + c.e.EvilURL() + "/", "inside": `"url":"http://169.254.169.254/x"`} {
		c.e.Set(fakeemr.Faults{AttachmentURL: form})
		for _, typ := range []string{"DocumentReference", "DiagnosticReport"} {
			held, found := c.held(typ), 0
			for _, b := range c.pages(typ, 100) {
				for i, e := range b.Entry {
					id := b.ids()[i]
					if string(fakeemr.WithoutSignature(e.Resource)) != held[id] {
						t.Errorf("%q: %s/%s is not what the oracle says: %s", form, typ, id, e.Resource)
					}
					if strings.Contains(held[id], `"url"`) {
						found++
						if !strings.Contains(held[id], want) || string(fakeemr.WithoutSignature(c.get(typ+"/"+id).body)) != held[id] {
							t.Errorf("%q: %s", form, held[id])
						}
					}
				}
			}
			if found == 0 {
				t.Errorf("%q: no %s has a link", form, typ)
			}
		}
	}
	c.e.Set(fakeemr.Faults{AttachmentURL: "absolute"})
	for line := range bytes.Lines(c.export("$export?_type=DocumentReference")["DocumentReference"]) {
		if bytes.Contains(line, []byte(`"url":"Binary/`)) {
			t.Errorf("exported: %s", line)
		}
	}
	if err := c.e.Edit("DocumentReference", "doc-0-1", func(m map[string]any) { m["status"] = "superseded" }); err != nil {
		t.Fatal(err)
	}
	c.e.Set(fakeemr.Faults{})
	if line, _ := c.e.Resource("DocumentReference", "doc-0-1"); !bytes.Contains(line, []byte(`"url":"Binary/bin-0-1"`)) {
		t.Errorf("an edit keeps the form that was served: %s", line)
	}
}

// TestSignedLinks: they live for a while, and no token may come with them (P110).
func TestSignedLinks(t *testing.T) {
	c := call(t, few())
	id, raw := c.aPDF()
	c.e.Set(fakeemr.Faults{AttachmentURL: "signed", SignedLife: 10 * time.Second})
	fresh := func() string {
		t.Helper()
		r := c.get("DocumentReference/" + strings.Replace(id, "bin", "doc", 1))
		_, rest, _ := strings.Cut(string(r.body), `"url":"`)
		url, _, _ := strings.Cut(rest, `"`)
		return url
	}
	url := fresh()
	if r := c.get(url, "Authorization", ""); r.status != 200 || !bytes.Equal(r.body, raw) || r.header.Get("Content-Type") != "application/pdf" {
		t.Errorf("%s: %d, %d bytes", url, r.status, len(r.body))
	}
	if r := c.get(url+"0", "Authorization", ""); r.status != 403 {
		t.Errorf("a changed link: %d, want 403", r.status)
	}
	c.e.Clock().Advance(11 * time.Second)
	if r := c.get(url, "Authorization", ""); r.status != 403 {
		t.Errorf("a dead link: %d, want 403", r.status)
	}
	if r := c.get(fresh(), "Authorization", ""); r.status != 200 {
		t.Errorf("a fresh link: %d, want 200", r.status)
	}
	if n := c.e.Served(); n.Attachments != 4 || n.Leaks != 0 {
		t.Errorf("attachments %d, leaks %d; want 4, 0", n.Attachments, n.Leaks)
	}
	if r := c.get(fresh()); r.status == 200 || c.e.Served().Leaks != 1 {
		t.Errorf("with a token: %d, %d leaks; want a refusal, 1", r.status, c.e.Served().Leaks)
	}
}

// TestBigAttachment: the same bytes raw and in JSON, as its document says.
func TestBigAttachment(t *testing.T) {
	o := few()
	plain := call(t, o)
	o.BigAttachment = 5<<20 + 1
	c := call(t, o)
	var doc link
	for parent, list := range c.links() {
		if parent == "DocumentReference/doc-big" {
			doc = list[0]
		}
	}
	if doc.Size == nil || *doc.Size != o.BigAttachment {
		t.Fatalf("the document says %+v", doc)
	}
	raw := c.get(doc.URL)
	sum := sha1.Sum(raw.body)
	if int64(len(raw.body)) != o.BigAttachment || base64.StdEncoding.EncodeToString(sum[:]) != doc.Hash {
		t.Errorf("raw: %d bytes, another hash than %s", len(raw.body), doc.Hash)
	}
	var b struct {
		ResourceType, ID string
		Data             []byte
	}
	r := c.get(doc.URL, "Accept", "application/fhir+json")
	if err := json.Unmarshal(r.body, &b); err != nil || b.ResourceType != "Binary" || !bytes.Equal(b.Data, raw.body) {
		t.Errorf("JSON: %v, %s %s, %d bytes", err, b.ResourceType, b.ID, len(b.Data))
	}
	if r := c.get("DocumentReference/doc-big"); r.status != 200 {
		t.Errorf("the document: %d", r.status)
	}
	if a, b := len(plain.held("Binary")), len(c.held("Binary")); a != b {
		t.Errorf("%d Binaries, %d without the big one", b, a)
	}
}

// TestOneGiB reads an attachment of 1 GiB in little memory.
func TestOneGiB(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 1 GiB")
	}
	o := few()
	o.BigAttachment, o.Plain = 1<<30, true
	c := call(t, o)
	req, err := http.NewRequest("GET", c.e.BaseURL()+"/Binary/bin-big", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != 1<<30 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// export runs an export and returns its files by type.
func (c *caller) export(path string) map[string][]byte {
	c.t.Helper()
	r := c.get(path, "Prefer", "respond-async", "Accept", "application/fhir+json")
	if r.status != 202 {
		c.t.Fatalf("%s: %d %s", path, r.status, r.body)
	}
	status := r.header.Get("Content-Location")
	for r.status == 202 {
		r = c.get(status)
	}
	var m struct{ Output []struct{ Type, URL string } }
	if err := json.Unmarshal(r.body, &m); err != nil {
		c.t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range m.Output {
		out[f.Type] = append(out[f.Type], c.get(f.URL).body...)
	}
	return out
}

// TestHiddenTypes: neither exported nor searched, but read (P92).
func TestHiddenTypes(t *testing.T) {
	o := few()
	o.HiddenTypes, o.HideBinary = []string{"Practitioner", "Medication"}, true
	c := call(t, o)
	files := c.export("$export")
	for _, typ := range []string{"Practitioner", "Medication", "Binary"} {
		if files[typ] != nil || c.get(typ).status != 405 {
			t.Errorf("%s: %d bytes exported, search %d; want none, 405", typ, len(files[typ]), c.get(typ).status)
		}
		for id := range c.held(typ) {
			if r := c.get(typ + "/" + id); r.status != 200 {
				t.Errorf("%s/%s: %d", typ, id, r.status)
			}
		}
	}
	if len(files) != len(c.e.Listed()) || len(c.e.Types()) != len(c.e.Listed())+3 {
		t.Errorf("%d types exported, %d listed, %d in all", len(files), len(c.e.Listed()), len(c.e.Types()))
	}
}

// TestGroupSinceBug: a Group export with _since forgets patients whose own
// record is unchanged (F5).
func TestGroupSinceBug(t *testing.T) {
	c := call(t, few())
	since := c.e.Clock().Now().UTC().Format("2006-01-02T15:04:05.000Z")
	c.e.Clock().Advance(time.Minute)
	set := func(m map[string]any) { m["status"] = "amended" }
	for typ, id := range map[string]string{"Observation": "obs-1-0", "Encounter": "enc-2-0", "Patient": "pat-2"} {
		if err := c.e.Edit(typ, id, set); err != nil {
			t.Fatal(err)
		}
	}
	path := "Group/" + c.e.GroupID() + "/$export?_since=" + since
	if files := c.export(path); len(files) != 3 {
		t.Errorf("without the bug: %d types, want 3", len(files))
	}
	c.e.Set(fakeemr.Faults{GroupSinceBug: true})
	if files := c.export(path); len(files) != 2 || files["Observation"] != nil {
		t.Errorf("with the bug: %d types, want Patient and Encounter", len(files))
	}
	if files := c.export("$export?_since=" + since); len(files) != 3 {
		t.Errorf("not of a Group: %d types, want 3", len(files))
	}
}
