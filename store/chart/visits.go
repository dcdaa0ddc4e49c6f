package chart

import (
	"slices"
	"strconv"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

func itoa(n int) string { return strconv.Itoa(n) }

// classes are the visit classes of HL7 in words.
var classes = map[string]string{"AMB": "office", "EMER": "emergency", "IMP": "hospital stay",
	"ACUTE": "hospital stay (acute)", "NONAC": "hospital stay (not acute)", "OBSENC": "observation",
	"SS": "short stay", "VR": "by phone or video", "HH": "at home", "FLD": "in the field",
	"PRENC": "before admission"}

func visit(b *Builder, r Resource) (item, error) {
	e, err := read[fhir.Encounter](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: e.Status == fhir.EncounterStatusEnteredInError}
	date := ""
	if e.Period != nil {
		date, it.when = period(e.Period), begins(e.Period)
		if e.Status == fhir.EncounterStatusFinished && str(e.Period.End) == "" {
			date = showDate(str(e.Period.Start)) // it is over, whenever that was
		}
	}
	class := CleanLine(str(e.Class.Display))
	if w, ok := classes[str(e.Class.Code)]; ok {
		class = w
	}
	if class == "" {
		class = CleanLine(str(e.Class.Code))
	}
	var with []string
	for _, p := range e.Participant {
		if name := b.reference(r, p.Individual); !slices.Contains(with, name) {
			with = append(with, name)
		}
	}
	if len(with) == 0 {
		with = append(with, b.reference(r, e.ServiceProvider))
	}
	status := e.Status.Code()
	if status == "finished" {
		status = ""
	}
	it.row = Row{Cells: []string{date, join(", ", concepts(e.Type), class),
		join(", ", concepts(e.ReasonCode), b.names.list(r, e.ReasonReference)), join(", ", with...), status}}
	return it, nil
}

func procedure(b *Builder, r Resource) (item, error) {
	p, err := read[fhir.Procedure](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: p.Status == fhir.EventStatusEnteredInError}
	date := join(", ", showDate(str(p.PerformedDateTime)), CleanLine(str(p.PerformedString)))
	it.when = moment(str(p.PerformedDateTime))
	if q := p.PerformedPeriod; q != nil {
		date, it.when = join(", ", date, period(q)), begins(q)
	}
	date = join(", ", date, at(ageText(p.PerformedAge)))
	if q := p.PerformedRange; q != nil {
		date = join(", ", date, at(valueRange(q.Low, q.High)))
	}
	status := p.Status.Code()
	switch status {
	case "completed":
		status = ""
	case "not-done":
		status = "NOT DONE"
	}
	it.row = Row{Cells: []string{date, join(", ", named(concept(p.Code)), concepts(p.BodySite)),
		join(", ", concepts(p.ReasonCode), b.names.list(r, p.ReasonReference)),
		join(", ", status, concept(p.StatusReason), concept(p.Outcome))}, More: join("; ", complications(b, r, &p), notes(p.Note))}
	return it, nil
}

// complications say what went wrong, if the record does.
func complications(b *Builder, r Resource, p *fhir.Procedure) string {
	if list := join(", ", concepts(p.Complication), b.names.list(r, p.ComplicationDetail)); list != "" {
		return "COMPLICATION: " + list
	}
	return ""
}

func report(b *Builder, r Resource) (item, error) {
	d, err := read[fhir.DiagnosticReport](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: d.Status == fhir.DiagnosticReportStatusEnteredInError}
	on := reportedOn(&d)
	it.when = on.at
	status := d.Status.Code()
	if status == "final" {
		status = ""
	}
	holds := ""
	if n := len(d.Result); n > 0 {
		holds = count(n, "result")
	}
	if n := len(d.PresentedForm); n > 0 {
		holds = join(", ", holds, count(n, "document"))
	}
	it.row = Row{Cells: []string{on.words, named(concept(&d.Code)), status, holds,
		join(", ", b.names.list(r, d.Performer), b.names.list(r, d.ResultsInterpreter))},
		More: join("; ", CleanLine(str(d.Conclusion)), concepts(d.ConclusionCode))}
	b.panels = append(b.panels, Panel{Ref: r.Ref(), Name: it.row.Cells[1], On: it.row.Cells[0], When: it.when,
		Status: d.Status.Code(), Comment: it.row.More, Named: targets(d.Result, baseOf(b.o.Names))})
	b.insiders(r, &d)
	return it, nil
}

func document(b *Builder, r Resource) (item, error) {
	d, err := read[fhir.DocumentReference](r)
	if err != nil {
		return item{}, err
	}
	wrong := d.DocStatus != nil && *d.DocStatus == fhir.CompositionStatusEnteredInError
	it := item{hidden: wrong || d.Status == fhir.DocumentReferenceStatusEnteredInError, when: moment(str(d.Date))}
	if d.Status == fhir.DocumentReferenceStatusSuperseded {
		it.group = 1
	}
	var formats, titles []string
	for i := range d.Content {
		a := &d.Content[i].Attachment
		formats = append(formats, FormatName(str(a.ContentType)))
		titles = append(titles, CleanLine(str(a.Title)))
		if it.when.IsZero() {
			it.when = moment(str(a.Creation))
		}
	}
	status := ""
	if d.Status != fhir.DocumentReferenceStatusCurrent {
		status = d.Status.Code()
	}
	if d.DocStatus != nil && *d.DocStatus != fhir.CompositionStatusFinal {
		status = join(", ", status, d.DocStatus.Code())
	}
	words := append([]string{concept(d.Type), CleanLine(str(d.Description))}, titles...)
	what := join(", ", once(words)...)
	if what == "" {
		what = concepts(d.Category)
	}
	date := showDate(str(d.Date))
	it.row = Row{Cells: []string{date, named(what), b.names.list(r, d.Author), join(" + ", formats...), status}}
	return it, nil
}

// once leaves out what was said before.
func once(words []string) (out []string) {
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

func appointment(b *Builder, r Resource) (item, error) {
	a, err := read[fhir.Appointment](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: a.Status == fhir.AppointmentStatusEnteredInError, when: moment(str(a.Start))}
	switch {
	case a.Status == fhir.AppointmentStatusCancelled || a.Status == fhir.AppointmentStatusNoshow:
		it.group = 3
	case it.when.IsZero():
		it.group = 2
	case it.when.Before(today(b.o.At)):
		it.group = 1
	}
	var with []string
	for _, p := range a.Participant {
		if p.Actor == nil {
			continue
		}
		switch _, typ, _, _ := splitReference(str(p.Actor.Reference)); {
		case typ != "Patient":
			with = append(with, join(" ", b.reference(r, p.Actor), took(p.Status)))
		case p.Status == fhir.ParticipationStatusDeclined:
			with = append(with, "the patient (declined)")
		}
	}
	what := appointed(&a)
	if why := join(", ", concepts(a.ReasonCode), b.names.list(r, a.ReasonReference)); what == unsaid && why != "" {
		what = why
	} else {
		what = join(", ", what, why)
	}
	it.row = Row{Cells: []string{spanText(str(a.Start), endOf(&a)), what, join(", ", with...),
		join(", ", a.Status.Code(), concept(a.CancelationReason))},
		More: join("; ", wished(&a), CleanLine(str(a.Comment)), CleanLine(str(a.PatientInstruction)))}
	return it, nil
}

// unsaid is what an appointment is called that does not say what it is for.
const unsaid = "Appointment"

// appointed says what an appointment is for.
func appointed(a *fhir.Appointment) string {
	if what := join(", ", CleanLine(str(a.Description)), concept(a.AppointmentType), concepts(a.ServiceType)); what != "" {
		return what
	}
	if what := join(", ", concepts(a.ServiceCategory), concepts(a.Specialty)); what != "" {
		return what
	}
	return unsaid
}

// endOf is when an appointment ends; "" without a beginning.
func endOf(a *fhir.Appointment) string {
	if str(a.Start) == "" || str(a.End) == "" {
		return str(a.Start)
	}
	return str(a.End)
}

// wished says when an appointment is wanted that has no time yet.
func wished(a *fhir.Appointment) string {
	var out []string
	for i := range a.RequestedPeriod {
		out = append(out, period(&a.RequestedPeriod[i]))
	}
	if list := join(" or ", out...); list != "" {
		return "wanted " + list
	}
	return ""
}

// took says what a participant answered, if not that he comes.
func took(s fhir.ParticipationStatus) string {
	switch s {
	case fhir.ParticipationStatusDeclined:
		return "(declined)"
	case fhir.ParticipationStatusTentative:
		return "(tentative)"
	}
	return ""
}

// today is when the day of a moment began, where that is.
func today(at time.Time) time.Time {
	y, m, d := at.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, at.Location())
}

// FormatName names a content type as people do.
func FormatName(contentType string) string {
	switch mediaType(contentType) {
	case "text/plain":
		return "text"
	case "text/html", "application/xhtml+xml":
		return "web page"
	case "text/rtf", "application/rtf":
		return "RTF"
	case "application/pdf":
		return "PDF"
	case "application/hl7-cda+xml", "application/cda+xml", "text/x-hl7-text+xml":
		return "clinical document (C-CDA)"
	case "text/xml", "application/xml":
		return "XML"
	case "image/svg+xml":
		return "drawing (SVG)"
	case "image/jpeg", "image/png", "image/tiff", "image/gif":
		return "picture"
	case "":
		return "no format given"
	}
	return CleanLine(contentType)
}
