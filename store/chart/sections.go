package chart

import (
	"slices"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// unnamed is what stands where a record does not say what it is about.
const unnamed = "(the record does not say what)"

func named(s string) string {
	if s == "" {
		return unnamed
	}
	return s
}

// onset writes when something began, in whichever way the record says it.
func onset(date *string, age *fhir.Age, p *fhir.Period, r *fhir.Range, text *string) string {
	out := join(", ", showDay(str(date)), period(p), CleanLine(str(text)))
	if r != nil {
		out = join(", ", out, at(valueRange(r.Low, r.High)))
	}
	return join(", ", out, at(ageText(age)))
}

// began is when something began, if the record gives a time.
func began(date *string, p *fhir.Period) time.Time {
	if at := moment(str(date)); !at.IsZero() {
		return at
	}
	return begins(p)
}

// abatement writes when a problem ended, in whichever way the record says it; "" if it
// does not.
func abatement(c *fhir.Condition) string {
	if day := showDay(str(c.AbatementDateTime)); day != "" {
		return "until " + day
	}
	end := onset(nil, c.AbatementAge, nil, c.AbatementRange, c.AbatementString)
	if p := c.AbatementPeriod; p != nil {
		from, to := showDate(str(p.Start)), showDate(str(p.End))
		switch {
		case from != "" && to != "":
			end = join(", ", "between "+from+" and "+to, end)
		case from != "":
			end = join(", ", "after "+from, end)
		case to != "":
			end = join(", ", "by "+to, end)
		}
	}
	if end == "" {
		return ""
	}
	return "ended " + end
}

func allergy(b *Builder, r Resource) (item, error) {
	a, err := read[fhir.AllergyIntolerance](r)
	if err != nil {
		return item{}, err
	}
	status, other := codeIn(a.ClinicalStatus, "active", "inactive", "resolved")
	proof, proofOther := codeIn(a.VerificationStatus, "entered-in-error", "refuted", "unconfirmed",
		"presumed", "confirmed")
	it := item{hidden: proof == "entered-in-error", rank: 1, when: began(a.OnsetDateTime, a.OnsetPeriod)}
	if it.when.IsZero() {
		it.when = moment(str(a.RecordedDate))
	}
	if status == "inactive" || status == "resolved" || proof == "refuted" {
		it.group = 1
	}
	risk := ""
	if a.Criticality != nil {
		risk = a.Criticality.Code()
		if risk == "high" {
			risk, it.rank = "HIGH RISK", 0
		} else {
			risk += " risk"
		}
	}
	if proof == "confirmed" {
		proof = "" // is what one expects
	}
	kind := ""
	if a.Type != nil && *a.Type == fhir.AllergyIntoleranceTypeIntolerance {
		kind = "(intolerance)"
	}
	since := onset(a.OnsetDateTime, a.OnsetAge, a.OnsetPeriod, a.OnsetRange, a.OnsetString)
	if since == "" {
		since = join(" ", showDay(str(a.RecordedDate)), recorded(a.RecordedDate))
	}
	what := concept(a.Code)
	if none := noAllergy(a.Code); none != "" {
		if it.rank, it.none = 2, it.group == 0; what == codeText(a.Code) { // behind what somebody is allergic to
			what = none
		}
	}
	if last := showDay(str(a.LastOccurrence)); last != "" {
		since = join(", ", since, "last reaction "+last)
	}
	it.row = Row{Cells: []string{join(" ", named(what), kind),
		join(", ", status, other, proof, proofOther), risk, reactions(a.Reaction), since},
		More: notes(a.Note)}
	return it, nil
}

// noAllergies are the SNOMED codes that say that there are none, in words.
var noAllergies = map[string]string{"716186003": "no known allergies", "409137002": "no known drug allergies",
	"429625007": "no known food allergies", "428607008": "no known environmental allergies",
	"716184000": "no known latex allergies", "428197003": "no known insect allergies"}

// noAllergy is what a record of an allergy says if it says that there are none; else "".
func noAllergy(c *fhir.CodeableConcept) string {
	if c == nil {
		return ""
	}
	for _, code := range c.Coding {
		if words := noAllergies[str(code.Code)]; words != "" && (str(code.System) == "" || systemName(str(code.System)) == "SNOMED") {
			return words
		}
	}
	return ""
}

// besideAllergies marks those that say that there are none, where others say that there
// are: of drugs alone, or of food, it may still be so.
func besideAllergies(items []item) {
	for i := range items {
		if !items[i].none || items[i].hidden {
			continue
		}
		if slices.ContainsFunc(items, func(o item) bool { return !o.none && !o.hidden && o.group == 0 }) {
			items[i].row.More = join("; ", "the same chart has allergies: ask which of the two is right", items[i].row.More)
			items[i].row.Cells[0] += " (but see the others)"
		}
	}
}

func recorded(date *string) string {
	if str(date) == "" {
		return ""
	}
	return "(recorded)"
}

func reactions(list []fhir.AllergyIntoleranceReaction) string {
	var out []string
	for i := range list {
		x := &list[i]
		severity := ""
		if x.Severity != nil {
			severity = "(" + x.Severity.Code() + ")"
		}
		what := join(", ", concepts(x.Manifestation), CleanLine(str(x.Description)))
		if x.Substance != nil {
			what = join(" ", what, "to "+concept(x.Substance))
		}
		out = append(out, join(" ", what, severity))
	}
	return join("; ", out...)
}

func problem(_ *Builder, r Resource) (item, error) {
	c, err := read[fhir.Condition](r)
	if err != nil {
		return item{}, err
	}
	status, other := codeIn(c.ClinicalStatus, "active", "recurrence", "relapse", "inactive", "remission", "resolved")
	proof, proofOther := codeIn(c.VerificationStatus, "entered-in-error", "refuted", "confirmed",
		"provisional", "differential", "unconfirmed")
	it := item{hidden: proof == "entered-in-error", when: began(c.OnsetDateTime, c.OnsetPeriod)}
	if it.when.IsZero() {
		it.when = moment(str(c.RecordedDate))
	}
	switch {
	case proof == "refuted":
		it.group = 3
	case status == "active" || status == "recurrence" || status == "relapse":
		it.group = 0
	case status == "":
		it.group = 1
	default:
		it.group = 2
	}
	if proof == "confirmed" {
		proof = ""
	}
	since := onset(c.OnsetDateTime, c.OnsetAge, c.OnsetPeriod, c.OnsetRange, c.OnsetString)
	if since == "" {
		since = join(" ", showDay(str(c.RecordedDate)), recorded(c.RecordedDate))
	}
	since = join(" ", since, abatement(&c))
	code := codeText(c.Code)
	if code == concept(c.Code) {
		code = ""
	}
	it.row = Row{Cells: []string{join(", ", named(concept(c.Code)), concepts(c.BodySite), concept(c.Severity)),
		join(", ", status, other, proof, proofOther), since, code}, More: notes(c.Note)}
	return it, nil
}

func medicine(b *Builder, r Resource) (item, error) {
	if r.Type == "MedicationStatement" {
		return statement(b, r)
	}
	m, err := read[fhir.MedicationRequest](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: m.Status == "entered-in-error", when: moment(str(m.AuthoredOn)),
		group: medicineGroup(m.Status)}
	status := []string{CleanLine(m.Status)}
	if m.Status == "" {
		status[0] = "no status given"
	}
	if m.Intent == "proposal" || m.Intent == "plan" || m.Intent == "option" {
		status = append(status, onlyA(m.Intent))
		it.group = 2
	}
	if m.Intent == "" {
		status = append(status, "no intent given")
	}
	if m.Priority != nil && *m.Priority != fhir.RequestPriorityRoutine {
		status = append(status, m.Priority.Code())
	}
	if d := m.DispenseRequest; d != nil && d.ValidityPeriod != nil && m.Status == "active" {
		status = append(status, b.ended(d.ValidityPeriod, "valid"))
	}
	if m.DoNotPerform != nil && *m.DoNotPerform {
		status = append([]string{"NOT TO BE GIVEN"}, status...)
		if it.group < 3 {
			it.group = 0
		}
	}
	status = append(status, concept(m.StatusReason))
	if m.ReportedBoolean != nil && *m.ReportedBoolean {
		status = append(status, "as reported")
	}
	by := b.reference(r, m.Requester)
	it.row = Row{Cells: []string{b.medicineName(r, &m.MedicationCodeableConcept, &m.MedicationReference),
		directions(m.DosageInstruction), join(", ", status...), showDay(str(m.AuthoredOn)), by},
		More: join("; ", reasons(b, r, m.ReasonCode, m.ReasonReference), notes(m.Note))}
	return it, nil
}

func statement(b *Builder, r Resource) (item, error) {
	m, err := read[fhir.MedicationStatement](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: m.Status == "entered-in-error", group: medicineGroup(m.Status)}
	since := join(", ", showDay(str(m.EffectiveDateTime)), period(m.EffectivePeriod))
	it.when = began(m.EffectiveDateTime, m.EffectivePeriod)
	status := CleanLine(m.Status)
	switch status {
	case "":
		status = "no status given"
	case "active":
		status = join(", ", status, b.ended(m.EffectivePeriod, "taken"))
	}
	by := b.reference(r, m.InformationSource)
	it.row = Row{Cells: []string{b.medicineName(r, &m.MedicationCodeableConcept, &m.MedicationReference),
		directions(m.Dosage), join(", ", status, "as reported", concepts(m.StatusReason)), since, by},
		More: join("; ", reasons(b, r, m.ReasonCode, m.ReasonReference), notes(m.Note))}
	return it, nil
}

// ended says that the time of something that is called active is over; "" if it is not.
func (b *Builder) ended(p *fhir.Period, was string) string {
	if p == nil {
		return ""
	}
	d, ok := parseDate(str(p.End))
	if !ok || d.to.After(b.o.At) {
		return ""
	}
	return was + " until " + showDay(str(p.End)) + " only"
}

func medicineGroup(status string) int {
	switch status {
	case "active", "on-hold":
		return 1
	case "stopped", "completed", "cancelled", "not-taken":
		return 3
	}
	return 2
}

func (b *Builder) medicineName(r Resource, c *fhir.CodeableConcept, ref *fhir.Reference) string {
	if name := concept(c); name != "" {
		return name
	}
	return named(b.reference(r, ref))
}

func reasons(b *Builder, r Resource, codes []fhir.CodeableConcept, refs []fhir.Reference) string {
	if why := join(", ", concepts(codes), b.names.list(r, refs)); why != "" {
		return "for " + why
	}
	return ""
}

func immunization(b *Builder, r Resource) (item, error) {
	m, err := read[fhir.Immunization](r)
	if err != nil {
		return item{}, err
	}
	status := m.Status.Code()
	it := item{hidden: status == "entered-in-error", when: moment(m.OccurrenceDateTime)}
	if status == "not-done" {
		it.group = 1
	}
	var dose []string
	for i := range m.ProtocolApplied {
		dose = append(dose, doseNumber(&m.ProtocolApplied[i]))
	}
	shown := status
	if status == "completed" {
		shown = ""
	}
	if m.IsSubpotent != nil && *m.IsSubpotent {
		shown = join(", ", shown, "not fully potent")
	}
	if m.PrimarySource != nil && !*m.PrimarySource {
		shown = join(", ", shown, "as reported")
	}
	it.row = Row{Cells: []string{named(concept(&m.VaccineCode)),
		join(", ", showDay(m.OccurrenceDateTime), CleanLine(m.OccurrenceString)), join("; ", dose...),
		CleanLine(str(m.LotNumber)), join(", ", shown, concept(m.StatusReason))},
		More: join("; ", b.vaccineReactions(r, m.Reaction), join(", ", quantity(m.DoseQuantity), concept(m.Route), concept(m.Site)), notes(m.Note))}
	return it, nil
}

// vaccineReactions say how a vaccine was borne, if the record tells of a reaction.
func (b *Builder) vaccineReactions(r Resource, list []fhir.ImmunizationReaction) string {
	var out []string
	for i := range list {
		out = append(out, join(" ", "REACTION", showDay(str(list[i].Date)), b.reference(r, list[i].Detail)))
	}
	return join(", ", out...)
}

func doseNumber(p *fhir.ImmunizationProtocolApplied) string {
	n := CleanLine(p.DoseNumberString)
	if n == "" && p.DoseNumberPositiveInt > 0 {
		n = itoa(p.DoseNumberPositiveInt)
	}
	of := CleanLine(str(p.SeriesDosesString))
	if of == "" && p.SeriesDosesPositiveInt != nil {
		of = itoa(*p.SeriesDosesPositiveInt)
	}
	if of != "" {
		of = "of " + of
	}
	return join(" ", n, of)
}

func coverage(b *Builder, r Resource) (item, error) {
	c, err := read[fhir.Coverage](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: c.Status == fhir.FinancialResourceStatusCodesEnteredInError}
	it.when = begins(c.Period)
	if c.Order != nil {
		it.rank = *c.Order
	}
	kind := []string{concept(c.Type)}
	for i := range c.Class {
		kind = append(kind, join(" ", concept(&c.Class[i].Type), CleanLine(str(c.Class[i].Name)),
			paren(CleanLine(c.Class[i].Value))))
	}
	it.row = Row{Cells: []string{named(b.names.list(r, c.Payor)), CleanLine(str(c.SubscriberId)),
		strings.Join(kind, ", "), period(c.Period), c.Status.Code()}}
	return it, nil
}
