package chart

import "time"

// Attended returns on which day a visit began; ok is false for one that did not take
// place, one that is not as FHIR says, and one without a day. It reads only what it needs:
// it is for very many records.
func Attended(r Resource) (day time.Time, ok bool) {
	status, period, ok := statusAnd(r, "period")
	switch status {
	case "planned", "cancelled", "entered-in-error", "unknown":
		return day, false
	}
	start := ""
	err := eachMember(period, func(name, value []byte) {
		if string(name) == "start" {
			start = stringOf(value)
		}
	})
	if !ok || err != nil {
		return day, false
	}
	return dayIn(start)
}

// Booked returns when an appointment begins that may still take place; ok is false for any
// other, for one that is not as FHIR says, and for one without a day.
func Booked(r Resource) (day time.Time, ok bool) {
	status, start, ok := statusAnd(r, "start")
	switch status {
	case "proposed", "pending", "booked", "waitlist", "arrived", "checked-in":
		if ok {
			return dayIn(stringOf(start))
		}
	}
	return day, false
}

// statusAnd returns the status of a record and one other member of it; ok is false if the
// record is not as FHIR says.
func statusAnd(r Resource, member string) (status string, value []byte, ok bool) {
	if readable(r, nil, nil) != nil {
		return "", nil, false
	}
	eachMember(r.Raw, func(name, v []byte) { // the record was read before
		switch string(name) {
		case "status":
			status = stringOf(v)
		case member:
			value = v
		}
	})
	return status, value, true
}

// dayIn returns the day of a date as it is given, whatever zone it is given in; ok is
// false if it has no day.
func dayIn(date string) (day time.Time, ok bool) {
	if _, good := parseDate(date); !good || len(date) < len("2006-01-02") {
		return day, false
	}
	day, err := time.Parse("2006-01-02", date[:len("2006-01-02")])
	return day, err == nil
}
