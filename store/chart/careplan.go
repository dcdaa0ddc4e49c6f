package chart

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// intentOf returns what a record is meant as, in words; the models would make up one that
// is absent.
func intentOf(r Resource, code string) string {
	switch {
	case !hasText(r.Raw, "intent"):
		return "no intent given"
	case code == "plan" && r.Type == "CarePlan", strings.HasSuffix(code, "order"): // original, reflex, filler and instance orders too
		return ""
	}
	return onlyA(code)
}

// onlyA says that a record is meant as less than an order.
func onlyA(intent string) string {
	if intent == "option" {
		return "only an option"
	}
	return "only a " + intent
}

// hasText reports whether a record has a member that is a text.
func hasText(raw []byte, member string) (has bool) {
	eachMember(raw, func(name, value []byte) { // the record was read before
		has = has || string(name) == member && len(value) > 2 && value[0] == '"'
	})
	return has
}

func serviceOrder(b *Builder, r Resource) (item, error) {
	o, err := read[fhir.ServiceRequest](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: o.Status == fhir.RequestStatusEnteredInError, when: moment(str(o.AuthoredOn))}
	status := o.Status.Code()
	switch o.Status {
	case fhir.RequestStatusActive, fhir.RequestStatusDraft, fhir.RequestStatusOnHold:
	default:
		it.group = 1
	}
	if o.DoNotPerform != nil && *o.DoNotPerform {
		status = "NOT TO BE DONE, " + status
	}
	if o.Priority != nil && *o.Priority != fhir.RequestPriorityRoutine {
		status = join(", ", status, o.Priority.Code())
	}
	due := join(", ", showDate(str(o.OccurrenceDateTime)), period(o.OccurrencePeriod), timing(o.OccurrenceTiming),
		asNeeded(&fhir.Dosage{AsNeededBoolean: o.AsNeededBoolean, AsNeededCodeableConcept: o.AsNeededCodeableConcept}))
	if due != "" {
		due = "to be done " + due
	}
	many := join("", quantity(o.QuantityQuantity), ratio(o.QuantityRatio))
	if q := o.QuantityRange; q != nil {
		many = valueRange(q.Low, q.High)
	}
	it.row = Row{Cells: []string{showDate(str(o.AuthoredOn)), join(", ", named(concept(o.Code)), many, concepts(o.OrderDetail), concepts(o.BodySite)),
		join(", ", concepts(o.ReasonCode), b.names.list(r, o.ReasonReference)), b.reference(r, o.Requester),
		join(", ", status, intentOf(r, o.Intent.Code()))}, More: join("; ", due, CleanLine(str(o.PatientInstruction)), notes(o.Note))}
	return it, nil
}

// planAndTeam reads what is planned, by whom.
func planAndTeam(b *Builder, r Resource) (item, error) {
	switch r.Type {
	case "Goal":
		return goal(b, r)
	case "CareTeam":
		return careTeam(b, r)
	}
	return carePlan(b, r)
}

func goal(b *Builder, r Resource) (item, error) {
	g, err := read[fhir.Goal](r)
	if err == nil && !hasText(r.Raw, "lifecycleStatus") {
		err = fmt.Errorf("%w: no status", ErrRefused)
	}
	if err != nil {
		return item{}, err
	}
	it := item{hidden: g.LifecycleStatus == fhir.GoalLifecycleStatusEnteredInError, group: 1, when: moment(str(g.StartDate))}
	var targets []string
	for i := range g.Target {
		t := &g.Target[i]
		detail := anyValue(valueOf{quantity: t.DetailQuantity, span: t.DetailRange, concept: t.DetailCodeableConcept,
			text: t.DetailString, boolean: t.DetailBoolean, integer: t.DetailInteger, ratio: t.DetailRatio})
		due := showDay(str(t.DueDate))
		if due != "" {
			due = "by " + due
		}
		if q := t.DueDuration; q != nil {
			due = "within " + quantity((*fhir.Quantity)(q))
		}
		targets = append(targets, join(" ", concept(t.Measure), detail, due))
	}
	it.row = Row{Cells: []string{named(concept(&g.Description)), join("; ", targets...), join(", ", showDay(str(g.StartDate)), concept(g.StartCodeableConcept)),
		b.reference(r, g.ExpressedBy), join(", ", g.LifecycleStatus.Code(), concept(g.AchievementStatus), CleanLine(str(g.StatusReason)))},
		More: join("; ", b.names.list(r, g.Addresses), concepts(g.OutcomeCode), notes(g.Note))}
	return it, nil
}

func careTeam(b *Builder, r Resource) (item, error) {
	c, err := read[fhir.CareTeam](r)
	if err != nil {
		return item{}, err
	}
	status := "no status given"
	if c.Status != nil {
		status = c.Status.Code()
	}
	it := item{group: 2, hidden: c.Status != nil && *c.Status == fhir.CareTeamStatusEnteredInError}
	var members []string
	for i := range c.Participant {
		p := &c.Participant[i]
		members = append(members, join(" ", named(b.reference(r, p.Member)), paren(concepts(p.Role)), period(p.Period)))
	}
	since := ""
	if c.Period != nil {
		since, it.when = period(c.Period), begins(c.Period)
	}
	name := join(", ", CleanLine(str(c.Name)), concepts(c.Category))
	if name == "" {
		name = "Care team"
	}
	it.row = Row{Cells: []string{name, join("; ", members...), since, b.names.list(r, c.ManagingOrganization), status},
		More: join("; ", reasons(b, r, c.ReasonCode, c.ReasonReference), notes(c.Note))}
	return it, nil
}

func carePlan(b *Builder, r Resource) (item, error) {
	c, err := read[fhir.CarePlan](r)
	if err != nil {
		return item{}, err
	}
	it := item{hidden: c.Status == fhir.RequestStatusEnteredInError, when: moment(str(c.Created))}
	since := showDay(str(c.Created))
	if c.Period != nil {
		since, it.when = period(c.Period), begins(c.Period)
	}
	var steps []string
	given := stepStates(r.Raw)
	for i := range c.Activity {
		steps = append(steps, activity(b, r, &c.Activity[i], i < len(given) && given[i]))
	}
	name := join(", ", CleanLine(str(c.Title)), concepts(c.Category))
	if name == "" {
		name = "Care plan"
	}
	it.row = Row{Cells: []string{name, join("; ", steps...), since, b.reference(r, c.Author),
		join(", ", c.Status.Code(), intentOf(r, c.Intent.Code()))},
		More: join("; ", CleanLine(str(c.Description)), b.names.list(r, c.Addresses), b.names.list(r, c.Goal), notes(c.Note))}
	return it, nil
}

// stepStates reports which steps of a plan say how far they are; the model would make up
// what they do not say.
func stepStates(raw []byte) (given []bool) {
	var steps []struct{ Detail struct{ Status *string } }
	eachMember(raw, func(name, value []byte) { // the record was read before
		if string(name) == "activity" && json.Unmarshal(value, &steps) != nil {
			steps = nil
		}
	})
	for _, s := range steps {
		given = append(given, str(s.Detail.Status) != "")
	}
	return given
}

func activity(b *Builder, r Resource, a *fhir.CarePlanActivity, given bool) string {
	d := a.Detail
	if d == nil {
		return named(b.reference(r, a.Reference))
	}
	what := join(", ", concept(d.Code), CleanLine(str(d.Description)), concept(d.ProductCodeableConcept), b.reference(r, d.ProductReference))
	state := d.Status.Code()
	if !given {
		state = "no status given"
	}
	if d.DoNotPerform != nil && *d.DoNotPerform {
		state = "NOT TO BE DONE, " + state
	}
	state = join(", ", state, concept(d.StatusReason))
	return join(" ", named(what), quantity(d.DailyAmount), CleanLine(str(d.ScheduledString)), period(d.ScheduledPeriod), timing(d.ScheduledTiming), paren(state))
}
