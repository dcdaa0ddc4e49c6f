package patientfile

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"chartcellar/store/chart"
)

// quoted writes a text as JSON has it.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can always be written
	}
	return string(b)
}

const readme = `Medical records of %s
%s

%s

WHAT IS IN HERE

index.html    Open this first, with any web browser; no internet is needed. The
              allergies, medicines, problems, results and the rest, and a list of
              the documents.
summary.pdf   The same to print or to hand to a doctor.
documents     Letters, scans and pictures as the practice had them: %d of the %d that
              the records name. Those that are not here stand in index.html, with why.
              A web page ends in .html.txt and a clinical document (C-CDA) in .xml.txt,
              so that nothing in them can run; take the .txt away to use them.
records.json  The records themselves, byte for byte as the practice's system gave
              them: a FHIR R4 Bundle. Another doctor's system can read it.
SHA256SUMS    Check sums. Where the command is known: sha256sum -c SHA256SUMS

WHAT IS COUNTED

%s

CARE

These files are not encrypted any more once they are unpacked. Keep them as you would
keep the papers. They are a copy: nothing in them changes what the practice keeps.
`

// readme says in plain words what the package is.
func (z *packer) readme(w io.Writer, s *Sheet) error {
	text := fmt.Sprintf(readme, s.title(), strings.Join(s.facts(), ", "), strings.Join(s.made(), "\n"), z.held, len(z.files),
		strings.Join(s.notes(), "\n"))
	_, err := io.WriteString(w, strings.ReplaceAll(chart.Clean(text), "\n", "\r\n"))
	return err
}
