package storetest

import (
	"encoding/base64"
	"fmt"
	"time"
)

// A Practice invents the records of a practice of any size, each patient's from his
// number alone. The patient Heavy has 5,000 records, the five after him 1,000 each, the
// others 0 to 45: 20 on average, with one note.
type Practice struct{ Patients int }

// Heavy is the number of the patient with the most records.
const Heavy = 7

// PracticeTypes are the types of the records, in the order in which an export gives them.
var PracticeTypes = []string{"Patient", "AllergyIntolerance", "Appointment", "Condition", "DocumentReference", "Encounter",
	"Immunization", "MedicationRequest", "Observation"}

// practiceDay is the day on which all histories end.
var practiceDay = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// mix makes a number out of two that looks like chance.
func mix(a, b int) int {
	x := uint64(a)*0x9e3779b97f4a7c15 + uint64(b)*0xbf58476d1ce4e5b9 + 0x94d049bb133111eb
	x ^= x >> 31
	x *= 0x94d049bb133111eb
	return int((x ^ x>>29) >> 2)
}

// PatientID is the id of the patient i.
func PatientID(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012d", uint32(mix(i, 1)), i) }

// Visits returns how often a patient was there.
func (p Practice) Visits(i int) int {
	switch {
	case i == Heavy:
		return 256
	case i > Heavy && i <= Heavy+5:
		return 52
	}
	return mix(i, 2) % 7
}

var familyStarts = []string{"Mill", "Sand", "Har", "Wal", "Gross", "Müll", "Núñ", "O'Bri", "Świąt", "Petr", "Lind", "Bern", "Castr", "Dela", "Engl", "Fair", "Hough", "Jans", "Kow", "Lefèb"}
var familyEnds = []string{"er", "son", "ton", "mann", "ez", "an", "berg", "enko", "ford", "well", "ley", "ski", "strand", "ault", "ini"}
var givens = []string{"Anna", "James", "Ruth", "Peter", "Zoë", "José", "Łukasz", "Élodie", "Maria", "David", "Olga", "Thomas", "Yuki", "Fatima", "Noah", "Emma", "Liam", "Ava", "Jan", "Inês"}

// FamilyName is the family name of the patient i.
func FamilyName(i int) string {
	h := mix(i, 3)
	name := familyStarts[h%20] + familyEnds[h/20%15]
	if h/300%12 == 0 {
		name += "-" + familyStarts[h/3600%20] + familyEnds[h/72000%15]
	}
	return name
}

// Append appends the records of one type that a patient got at one visit, from 0, each
// with a newline; those of visit -1 belong to none.
func (p Practice) Append(dst []byte, typ string, i, visit int) []byte {
	v := practiceVisit{p, i, visit, mix(i, 100+visit), PatientID(i), practiceDay.AddDate(0, 0, -(p.Visits(i)-visit)*3650/300-mix(i, 9)%200)}
	if visit < 0 {
		return v.background(dst, typ)
	}
	switch typ {
	case "Encounter":
		return v.line(dst, typ, 0, fmt.Sprintf(`"status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"},"type":[%s],"period":{"start":%q,"end":%q},"participant":[{"individual":{"reference":"Practitioner/prac-%d"}}]`,
			coding("http://snomed.info/sct", "185349003", "Encounter for check up"), v.clock(9), v.clock(10), v.h%8))
	case "Observation":
		n := 3
		if p.Visits(i) > 6 {
			n = 17
		}
		for k := range n {
			dst = v.observation(dst, k)
		}
	case "DocumentReference":
		if p.Visits(i) > 6 || v.h%3 == 0 {
			return v.line(dst, typ, 0, fmt.Sprintf(`"status":"current","type":%s,"date":%q,"content":[{"attachment":{"contentType":"text/plain; charset=utf-8","data":%q}}]`,
				coding("http://loinc.org", "11506-3", "Progress note"), v.clock(10), base64.StdEncoding.EncodeToString(v.note())))
		}
	case "MedicationRequest":
		if v.h%2 == 0 {
			return v.line(dst, typ, 0, fmt.Sprintf(`"status":%q,"intent":"order","medicationCodeableConcept":%s,"authoredOn":%q,"dosageInstruction":[{"text":"one tablet daily"}]`,
				[]string{"active", "stopped", "completed"}[v.h/2%3], coding("http://www.nlm.nih.gov/research/umls/rxnorm", fmt.Sprint(310000+v.h%400), fmt.Sprintf("Medicine %d, 10 MG Oral Tablet", v.h%400)), v.clock(9)))
		}
	}
	return dst
}

// A practiceVisit is one visit of one patient.
type practiceVisit struct {
	p        Practice
	i, visit int
	h        int // chance
	id       string
	day      time.Time
}

func (v practiceVisit) clock(hour int) string {
	return v.day.Format("2006-01-02T") + fmt.Sprintf("%02d:30:00Z", hour)
}

func coding(system, code, display string) string {
	return fmt.Sprintf(`{"coding":[{"system":%q,"code":%q,"display":%q}],"text":%q}`, system, code, display, display)
}

// line appends a record of the patient.
func (v practiceVisit) line(dst []byte, typ string, n int, rest string) []byte {
	who := "subject"
	if typ == "AllergyIntolerance" || typ == "Immunization" {
		who = "patient"
	}
	dst = fmt.Appendf(dst, `{"resourceType":%q,"id":"%s-%d-%d-%d","meta":{"versionId":"1","lastUpdated":%q},%s`, typ, typ[:3], v.i, v.visit+1, n, v.clock(11), rest)
	if typ != "Appointment" {
		dst = fmt.Appendf(dst, `,%q:{"reference":"Patient/%s"}`, who, v.id)
	}
	return append(dst, "}\n"...)
}

func (v practiceVisit) observation(dst []byte, k int) []byte {
	category := []string{"laboratory", "vital-signs"}[k%3/2]
	test := mix(v.h, k) % 60
	return v.line(dst, "Observation", k, fmt.Sprintf(`"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":%q}]}],"code":%s,`+
		`"encounter":{"reference":"Encounter/Enc-%d-%d-0"},"effectiveDateTime":%q,"performer":[{"reference":"Practitioner/prac-%d"}],`+
		`"valueQuantity":{"value":%d.5,"unit":"mg/dL"},"referenceRange":[{"low":{"value":10,"unit":"mg/dL"},"high":{"value":70,"unit":"mg/dL"}}]`,
		category, coding("http://loinc.org", fmt.Sprintf("%d-4", 1000+test), fmt.Sprintf("Test number %d", test)), v.i, v.visit+1, v.clock(9), v.h%8, mix(v.h, k+50)%97))
}

// complaints are what notes speak of; RareWord is in about one note of five thousand, and in one of Heavy.
var complaints = []string{"cough", "back pain", "dizziness", "headache", "heartburn", "knee pain", "tiredness", "rash", "shortness of breath", "palpitations"}

// RareWord is a word that hardly a note has.
const RareWord = "pheochromocytoma"

// note is a visit in words, of about two kilobytes.
func (v practiceVisit) note() []byte {
	b := fmt.Appendf(nil, "Visit of %s.\n", v.day.Format("2006-01-02"))
	for k := range 18 {
		h := mix(v.h, k)
		b = fmt.Appendf(b, "The patient reports %s since %d weeks; it is %s. Blood pressure %d/%d. Medicines were reviewed and continued.\n",
			complaints[h%10], 1+h/10%50, []string{"better", "the same", "worse"}[h/500%3], 100+h/1500%60, 60+h/90000%30)
	}
	if v.h%5000 == 0 || v.i == Heavy && v.visit == 100 {
		b = fmt.Appendf(b, "To be excluded: %s.\n", RareWord)
	}
	return b
}

// background appends what belongs to no visit.
func (v practiceVisit) background(dst []byte, typ string) []byte {
	switch typ {
	case "Patient":
		return fmt.Appendf(dst, `{"resourceType":"Patient","id":%q,"meta":{"versionId":"1","lastUpdated":%q},"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"urn:practice:mrn","value":"%07d"}],`+
			`"active":true,"name":[{"use":"official","family":%q,"given":[%q]}],"telecom":[{"system":"phone","value":"555-%03d-%04d"}],"gender":%q,"birthDate":%q,"address":[{"line":["%d Harbour Street"],"city":"Springfield","country":"US"}]}`+"\n",
			v.id, v.clock(8), 1000000+v.i, FamilyName(v.i), givens[v.h%20], v.h/20%1000, v.h/20000%10000, []string{"female", "male"}[v.h/7%2],
			practiceDay.AddDate(0, 0, -v.h/11%33000).Format("2006-01-02"), 1+v.h%200)
	case "AllergyIntolerance":
		if v.h%3 == 0 {
			return v.line(dst, typ, 0, `"clinicalStatus":{"coding":[{"code":"active"}]},"criticality":"high","code":`+coding("http://snomed.info/sct", "91936005", "Allergy to penicillin"))
		}
	case "Appointment":
		if v.h%2 == 0 {
			at := practiceDay.AddDate(0, 0, v.h/2%60)
			return v.line(dst, typ, 0, fmt.Sprintf(`"status":"booked","start":%q,"end":%q,"participant":[{"actor":{"reference":"Patient/%s"},"status":"accepted"}]`,
				at.Format("2006-01-02T09:00:00Z"), at.Format("2006-01-02T09:20:00Z"), v.id))
		}
	case "Condition":
		for k := range v.h % 4 {
			dst = v.line(dst, typ, k, fmt.Sprintf(`"clinicalStatus":{"coding":[{"code":"active"}]},"verificationStatus":{"coding":[{"code":"confirmed"}]},"code":%s,"onsetDateTime":"20%02d-0%d"`,
				coding("http://snomed.info/sct", fmt.Sprint(38341000+mix(v.h, k)%90), fmt.Sprintf("Problem number %d", mix(v.h, k)%90)), 10+v.h%15, 1+k))
		}
	case "Immunization":
		for k := range v.h / 4 % 4 {
			dst = v.line(dst, typ, k, fmt.Sprintf(`"status":"completed","vaccineCode":%s,"occurrenceDateTime":"20%02d-10-0%d"`,
				coding("http://hl7.org/fhir/sid/cvx", fmt.Sprint(140+k), fmt.Sprintf("Vaccine %d", k)), 10+v.h%15, 1+k))
		}
	}
	return dst
}
