package fakeemr

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// An attachment is a Binary as it is sent.
type attachment struct {
	line []byte // the resource; nil for the big one
	kind string
	raw  func() io.Reader
	size int64
}

// attachment finds a Binary, and the status of reading it.
func (e *EMR) attachment(id string) (attachment, int) {
	if g, ok := e.base.(*generator); ok && id == bigBinary && g.big > 0 {
		return attachment{kind: bigType, raw: func() io.Reader { return bigReader(g.big) }, size: g.big}, http.StatusOK
	}
	line, status := e.look("Binary", id, e.clock.Now())
	if status != http.StatusOK {
		return attachment{}, status
	}
	var b struct {
		ContentType string
		Data        []byte
	}
	if err := json.Unmarshal(line, &b); err != nil {
		return attachment{}, http.StatusInternalServerError
	}
	return attachment{line, b.ContentType, func() io.Reader { return bytes.NewReader(b.Data) }, int64(len(b.Data))}, status
}

// serveBinary answers a read of a Binary: the resource if FHIR is asked for,
// its raw bytes otherwise.
func (e *EMR) serveBinary(w http.ResponseWriter, r *http.Request, id string, f Faults) {
	if e.spoilAttachment(w, f) {
		return
	}
	a, status := e.attachment(id)
	if status != http.StatusOK {
		notThere(w, status)
		return
	}
	fhir := wantsFHIR(r.Header.Values("Accept")) || f.BinaryMode == "json"
	switch {
	case !fhir && f.BinaryMode == "406":
		outcome(w, http.StatusNotAcceptable, "not-supported", "ask for application/fhir+json")
	case a.line != nil && notModified(w, r, a.line):
	case fhir && a.line != nil:
		sendBody(w, "application/fhir+json", bytes.NewReader(a.line), int64(len(a.line)), f)
	case fhir:
		head := fmt.Sprintf(`{"resourceType":"Binary","id":%q,"contentType":%q,"data":"`, id, a.kind)
		size := int64(len(head)) + (a.size+2)/3*4 + 2
		sendBody(w, "application/fhir+json", io.MultiReader(strings.NewReader(head), &base64Reader{r: a.raw()}, strings.NewReader(`"}`)), size, f)
	default:
		sendBody(w, a.kind, a.raw(), a.size, f)
	}
}

// A base64Reader reads what r gives in base64.
type base64Reader struct {
	r    io.Reader
	rest []byte
	err  error
}

func (b *base64Reader) Read(p []byte) (int, error) {
	if len(b.rest) == 0 && b.err == nil {
		raw := make([]byte, 48<<10) // of threes
		n, err := io.ReadFull(b.r, raw)
		if b.err = err; err == io.ErrUnexpectedEOF {
			b.err = io.EOF
		}
		b.rest = base64.StdEncoding.AppendEncode(nil, raw[:n])
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if n == 0 {
		return 0, b.err
	}
	return n, nil
}

// wantsFHIR reports whether an Accept header prefers FHIR's own format.
func wantsFHIR(accept []string) bool {
	best, fhir := 0.0, false
	for _, one := range strings.Split(strings.Join(accept, ","), ",") {
		kind, params, _ := strings.Cut(one, ";")
		q := 1.0
		if _, v, ok := strings.Cut(params, "q="); ok {
			q, _ = strconv.ParseFloat(strings.TrimSpace(v), 64) // one that is no number is 0
		}
		if q > best {
			kind = strings.ToLower(strings.TrimSpace(kind))
			best, fhir = q, kind == "application/fhir+json" || kind == "application/json" || kind == "application/json+fhir"
		}
	}
	return fhir
}

// spoilAttachment counts a request for an attachment, answers it as the dials
// say, and reports whether it did.
func (e *EMR) spoilAttachment(w http.ResponseWriter, f Faults) bool {
	e.mu.Lock()
	e.served.Attachments++
	n := e.served.Attachments
	e.mu.Unlock()
	if f.OnAttachment != nil {
		f.OnAttachment(n)
	}
	switch {
	case f.AttachmentStatus != 0:
		if f.AttachmentTimes > 0 && e.spend(func(f *Faults) *int { return &f.AttachmentTimes }) && e.Faults().AttachmentTimes == 0 {
			e.mu.Lock()
			e.faults.AttachmentStatus = 0
			e.mu.Unlock()
		}
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		outcome(w, f.AttachmentStatus, "exception", "this document cannot be read")
	case f.AttachmentHTML && f.AttachmentType != "":
		w.Header().Set("Content-Type", f.AttachmentType)
		io.WriteString(w, loginPage)
	case f.AttachmentHTML:
		html(w, http.StatusOK)
	default:
		return false
	}
	return true
}

// sendBody sends an attachment as it is, or half of it.
func sendBody(w http.ResponseWriter, kind string, body io.Reader, size int64, f Faults) {
	if f.AttachmentType != "" {
		kind = f.AttachmentType
	}
	if f.AttachmentCut {
		cut(w, kind, body, size/2)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	io.CopyBuffer(struct{ io.Writer }{w}, body, make([]byte, 256<<10)) // a client that went away is no fault
}

// cut sends the first n bytes of a body whose end is the connection's end.
func cut(w http.ResponseWriter, kind string, body io.Reader, n int64) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n", kind)
	io.CopyN(buf, body, n) // a client that went away is no fault
	buf.Flush()
}

// serveSigned answers a signed link to an attachment, on the files listener.
func (e *EMR) serveSigned(w http.ResponseWriter, r *http.Request) {
	f := e.Faults()
	id := strings.TrimPrefix(r.URL.Path, signedPath)
	exp, err := strconv.ParseInt(r.URL.Query().Get("exp"), 10, 64)
	good := err == nil && hmac.Equal([]byte(e.sign(id, exp)), []byte(r.URL.Query().Get("sig")))
	if !good || e.clock.Now().After(time.UnixMilli(exp)) {
		e.count(func(s *Served) { s.Attachments++ })
		http.Error(w, "the link has expired", http.StatusForbidden)
		return
	}
	if e.spoilAttachment(w, f) {
		return
	}
	a, status := e.attachment(id)
	if status != http.StatusOK {
		http.Error(w, "not there", status)
		return
	}
	sendBody(w, a.kind, a.raw(), a.size, f)
}

const signedPath = "/attachment/"

func (e *EMR) sign(id string, exp int64) string {
	h := hmac.New(sha256.New, e.secret)
	fmt.Fprintf(h, "%s %d", id, exp)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var (
	binaryURL = regexp.MustCompile(`"url":"Binary/([^"]+)"`)
	hashValue = regexp.MustCompile(`"hash":"[^"]*"`)
	signature = regexp.MustCompile(`\?sig=[0-9a-f]+&exp=[0-9]+"`)
)

// relink changes attachments in a line as the dials say.
func (e *EMR) relink(line []byte, f *Faults, oracle bool) []byte {
	if f.WrongHash {
		wrong := base64.StdEncoding.EncodeToString(make([]byte, 20))
		line = hashValue.ReplaceAll(line, []byte(`"hash":"`+wrong+`"`))
	}
	if f.AttachmentURL == "" {
		return line
	}
	return binaryURL.ReplaceAllFunc(line, func(m []byte) []byte {
		id := string(m[len(`"url":"Binary/`) : len(m)-1])
		return []byte(`"url":"` + e.attachmentURL(id, f, oracle) + `"`)
	})
}

func (e *EMR) attachmentURL(id string, f *Faults, oracle bool) string {
	switch f.AttachmentURL {
	case "absolute":
		return e.BaseURL() + "/Binary/" + id
	case "evil":
		return e.evilURL + "/Binary/" + id
	case "inside":
		return "http://169.254.169.254/x"
	case "signed":
		to := e.fileURL + signedPath + url.PathEscape(id)
		if oracle {
			return to
		}
		life := f.SignedLife
		if life == 0 {
			life = time.Minute
		}
		exp := e.clock.Now().Add(life).UnixMilli()
		return fmt.Sprintf("%s?sig=%s&exp=%d", to, e.sign(id, exp), exp)
	}
	return "Binary/" + id
}

// WithoutSignature returns a line without the queries of signed links, as
// EachAt gives it: what is left must be the same bytes.
func WithoutSignature(line []byte) []byte { return signature.ReplaceAll(line, []byte(`"`)) }
