package chart

import (
	"slices"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// passing are the types of what happened at some time. What other types say (an allergy, a
// problem, a medicine, a vaccine) still holds, whenever it was written down.
var passing = []string{"Observation", "DiagnosticReport", "Encounter", "Procedure", "DocumentReference",
	"Appointment", "ImagingStudy", "QuestionnaireResponse", "Communication", "Media"}

// Within reports whether a record belongs to the days from first to last, as 2026-03-01;
// "" leaves an end open. Only what happened at a time can lie outside: allergies, problems,
// medicines, vaccines and the like always belong, and so does a record without a date that
// can be read. A date that is only a month or a year belongs if any of its days does, and so
// does a period.
func Within(r Resource, first, last string) bool {
	if first == "" && last == "" || !slices.Contains(passing, r.Type) {
		return true
	}
	tree, err := parseTree(r.Raw)
	if err != nil {
		return true
	}
	begin, end, long := spanGiven(&tree)
	d, ok := parseDate(day10(begin))
	e, known := parseDate(day10(end))
	if !long || end == "" { // one without an end counts for where it began
		e, known = d, ok
	}
	from, to := moment(first), moment(last)
	before := known && !from.IsZero() && !e.to.After(from)
	after := ok && !to.IsZero() && !d.from.Before(to.AddDate(0, 0, 1))
	return !before && !after
}

// day10 is the day of a date: the hour is that of where it was written, and so is the day.
func day10(date string) string { return date[:min(len(date), len("2006-01-02"))] }

// A Booking is an appointment as the list of a day needs it.
type Booking struct {
	Start    time.Time // zero: the record gives none
	Clock    string    // as it is given: 2026-03-01 09:30
	Patients []string  // their ids
	What     string
	Off      bool // cancelled, missed, or entered in error
}

// NewBooking reads an Appointment of the source at base; a record that the model refuses
// gives ErrRefused.
func NewBooking(r Resource, base string) (Booking, error) {
	a, err := read[fhir.Appointment](r)
	if err != nil {
		return Booking{}, err
	}
	b := Booking{Start: moment(str(a.Start)), Clock: showDate(str(a.Start)),
		What: appointed(&a)}
	switch a.Status {
	case fhir.AppointmentStatusCancelled, fhir.AppointmentStatusNoshow, fhir.AppointmentStatusEnteredInError:
		b.Off = true
	}
	for _, p := range a.Participant {
		if p.Actor == nil {
			continue
		}
		if typ, id := Target(str(p.Actor.Reference), base); typ == "Patient" && !slices.Contains(b.Patients, id) {
			b.Patients = append(b.Patients, id)
		}
	}
	return b, nil
}

// Seen returns when a visit began, and the day as it is given; ok is false for one that
// did not take place, and for a record that gives no time or that no model reads.
func Seen(r Resource) (at time.Time, day string, ok bool) {
	e, err := read[fhir.Encounter](r)
	if err != nil || e.Period == nil {
		return at, "", false
	}
	switch e.Status {
	case fhir.EncounterStatusCancelled, fhir.EncounterStatusEnteredInError, fhir.EncounterStatusPlanned:
		return at, "", false
	}
	at = moment(str(e.Period.Start))
	return at, showDay(str(e.Period.Start)), !at.IsZero()
}
