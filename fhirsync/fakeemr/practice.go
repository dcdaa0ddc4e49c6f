package fakeemr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Practice says what practice to invent. The same Practice gives the same
// bytes, on every machine.
type Practice struct {
	Patients int // 0: 20
	Seed     uint64
	Years    int // of history before the practice opened its EMR; 0: 6
}

// A generator invents each patient's records from the seed and the patient's
// number alone, so that a practice of any size is streamed.
type generator struct {
	p      Practice
	opened time.Time
	makers map[string]func(*patient) []string
	order  []string

	big     int64 // bytes of the big attachment
	bigHash func() string
}

// epoch is the day on which every invented history ends: not the wall clock,
// so that the bytes stay the same.
var epoch = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)

func newGenerator(p Practice, opened time.Time, big int64) *generator {
	if p.Patients == 0 {
		p.Patients = 20
	}
	if p.Years == 0 {
		p.Years = 6
	}
	g := &generator{p: p, opened: opened, big: big, bigHash: hashOf(big)}
	g.makers = map[string]func(*patient) []string{
		"Patient": (*patient).demographics, "Encounter": (*patient).encounters,
		"Condition": (*patient).conditions, "MedicationRequest": (*patient).medicines,
		"AllergyIntolerance": (*patient).allergies, "Observation": (*patient).observations,
		"Immunization": (*patient).immunizations, "DocumentReference": (*patient).documents,
		"Binary": (*patient).binaries, "Appointment": (*patient).appointments,
		"Coverage": (*patient).coverages, "DiagnosticReport": (*patient).reports,
	}
	for t := range g.makers {
		g.order = append(g.order, t)
	}
	g.order = append(g.order, "Group", "Organization", "Location", "Practitioner", "Medication")
	slices.Sort(g.order)
	return g
}

func (g *generator) types() []string { return slices.Clone(g.order) }

func (g *generator) split(typ string, want int) int {
	if g.makers[typ] == nil {
		return 1
	}
	return max(1, min(want, g.p.Patients))
}

func (g *generator) each(typ string, n, of int, fn func(id string, line []byte) error) error {
	make := g.makers[typ]
	if make == nil {
		for _, line := range g.shared(typ) {
			if err := fn(idOf([]byte(line)), []byte(line)); err != nil {
				return err
			}
		}
		return nil
	}
	for i := n * g.p.Patients / of; i < (n+1)*g.p.Patients/of; i++ {
		for _, line := range make(g.patient(i, typ)) {
			if err := fn(idOf([]byte(line)), []byte(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *generator) entries(typ string) ([]*entry, error) { return collect(g, typ) }

// find makes the records of the one patient that an id belongs to: ids end in
// the patient's number and the record's.
func (g *generator) find(typ, id string) ([]byte, bool) {
	var lines []string
	if m := g.makers[typ]; m != nil {
		parts := strings.Split(id, "-")
		if len(parts) < 2 {
			return nil, false
		}
		i, err := strconv.Atoi(parts[1])
		if id == bigDocument {
			i, err = 0, nil
		}
		if err != nil || i < 0 || i >= g.p.Patients {
			return nil, false
		}
		lines = m(g.patient(i, typ))
	} else {
		lines = g.shared(typ)
	}
	for _, l := range lines {
		if idOf([]byte(l)) == id {
			return []byte(l), true
		}
	}
	return nil, false
}

// A patient is one invented person, with a source of chance of its own for each
// resource type.
type patient struct {
	g      *generator
	i      int
	r      *rand.Rand
	family string
	given  string
	gender string
	born   time.Time
	visits []time.Time
}

func chance(seed uint64, i int, what string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(what))
	return rand.New(rand.NewPCG(seed, h.Sum64()^uint64(i)*0x9e3779b97f4a7c15))
}

func (g *generator) patient(i int, typ string) *patient {
	r := chance(g.p.Seed, i, "person")
	script := r.IntN(len(people))
	p := &patient{g: g, i: i, gender: [...]string{"female", "male"}[r.IntN(2)]}
	p.family = pick(r, people[script].family)
	p.given = pick(r, people[script].given)
	p.born = epoch.AddDate(-r.IntN(95), -r.IntN(12), -r.IntN(28))
	start := epoch.AddDate(-g.p.Years, 0, 0)
	if p.born.After(start) {
		start = p.born
	}
	for t := start; ; {
		t = t.Add(time.Duration(40+r.IntN(200)) * 24 * time.Hour)
		if t.After(epoch) {
			break
		}
		p.visits = append(p.visits, t.Add(time.Duration(r.IntN(480))*time.Minute))
	}
	p.r = chance(g.p.Seed, i, typ)
	return p
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// people are invented names in the scripts a practice meets.
var people = []struct{ family, given []string }{
	{[]string{"Miller", "O'Brien", "Smith-Jones", "Walker"}, []string{"Anna", "James", "Ruth", "Peter"}},
	{[]string{"Müller", "Gößling", "Çelik", "Świątek", "Núñez"}, []string{"Zoë", "José", "Łukasz", "Élodie"}},
	{[]string{"Иванова", "Петренко"}, []string{"Ольга", "Тарас"}},
	{[]string{"Παπαδόπουλος"}, []string{"Ελένη", "Νίκος"}},
	{[]string{"王", "李", "张"}, []string{"小明", "丽华"}},
	{[]string{"حداد", "العلي"}, []string{"ليلى", "سامي"}},
	{[]string{"Nguyễn", "Trần"}, []string{"Thị Hương", "Văn Đức"}},
}

func js(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string is always encodable
	return strings.TrimSuffix(b.String(), "\n")
}

// line makes one resource: meta from the time it was last touched.
func (p *patient) line(typ, id string, touched time.Time, rest string) string {
	version := 1 + p.r.IntN(3)
	return fmt.Sprintf(`{"resourceType":"%s","id":"%s","meta":{"versionId":"%d","lastUpdated":"%s"},%s}`,
		typ, id, version, touched.Format("2006-01-02T15:04:05.000Z"), rest)
}

func (p *patient) id(prefix string, n int) string { return fmt.Sprintf("%s-%d-%d", prefix, p.i, n) }

func (p *patient) ref() string { return fmt.Sprintf(`{"reference":"Patient/pat-%d"}`, p.i) }

func coding(system, code, display string) string {
	return fmt.Sprintf(`{"coding":[{"system":"%s","code":"%s","display":%s}],"text":%s}`,
		system, code, js(display), js(display))
}

const (
	snomed = "http://snomed.info/sct"
	loinc  = "http://loinc.org"
	ucum   = "http://unitsofmeasure.org"
)

func (p *patient) demographics() []string {
	phone := fmt.Sprintf("555-01%02d", p.r.IntN(100))
	return []string{p.line("Patient", fmt.Sprintf("pat-%d", p.i), epoch.AddDate(0, -p.r.IntN(30), 0), fmt.Sprintf(
		`"identifier":[{"type":{"coding":[{"code":"MR"}]},"system":"urn:practice:mrn","value":"%06d"}],`+
			`"active":true,"name":[{"use":"official","family":%s,"given":[%s]}],`+
			`"telecom":[{"system":"phone","value":"%s"}],"gender":"%s","birthDate":"%s",`+
			`"address":[{"line":["%d Harbour Street"],"city":"Springfield","country":"US"}]%s`,
		100000+p.i, js(p.family), js(p.given), phone, p.gender, p.born.Format("2006-01-02"), 1+p.r.IntN(200), p.photo()))}
}

func (p *patient) encounters() []string {
	var out []string
	for n, t := range p.visits {
		out = append(out, p.line("Encounter", p.id("enc", n), t, fmt.Sprintf(
			`"status":"finished","class":{"code":"AMB"},"type":[%s],"subject":%s,`+
				`"participant":[{"individual":{"reference":"Practitioner/prac-%d"}}],"period":{"start":"%s","end":"%s"}`,
			coding(snomed, "185349003", "Encounter for check up"), p.ref(), p.r.IntN(4),
			t.Format(time.RFC3339), t.Add(20*time.Minute).Format(time.RFC3339))))
	}
	return out
}

var problems = [][2]string{{"38341003", "Hypertension"}, {"44054006", "Diabetes mellitus type 2"},
	{"195967001", "Asthma"}, {"55822004", "Hyperlipidaemia"}, {"73211009", "Diabetes mellitus"},
	{"13645005", "Chronic obstructive lung disease"}, {"35489007", "Depressive disorder"}}

func (p *patient) conditions() []string {
	var out []string
	for n := range p.r.IntN(4) {
		c := pick(p.r, problems)
		status := [...]string{"active", "active", "resolved"}[p.r.IntN(3)]
		verification := "confirmed"
		if p.r.IntN(20) == 0 {
			verification = "entered-in-error"
		}
		on := epoch.AddDate(-p.r.IntN(12), -p.r.IntN(12), 0)
		out = append(out, p.line("Condition", p.id("cond", n), on, fmt.Sprintf(
			`"clinicalStatus":{"coding":[{"code":"%s"}]},"verificationStatus":{"coding":[{"code":"%s"}]},"code":%s,"subject":%s,"onsetDateTime":"%s"`,
			status, verification, coding(snomed, c[0], c[1]), p.ref(), on.Format("2006-01"))))
	}
	return out
}

var drugs = [][2]string{{"314076", "Lisinopril 10 MG Oral Tablet"}, {"860975", "Metformin 500 MG Oral Tablet"},
	{"617310", "Atorvastatin 20 MG Oral Tablet"}, {"745679", "Salbutamol 0.09 MG Inhaler"}}

func (p *patient) medicines() []string {
	var out []string
	for n := range p.r.IntN(5) {
		d := pick(p.r, drugs)
		on := epoch.AddDate(0, -p.r.IntN(60), 0)
		status := [...]string{"active", "stopped", "completed"}[p.r.IntN(3)]
		out = append(out, p.line("MedicationRequest", p.id("med", n), on, fmt.Sprintf(
			`"status":"%s","intent":"order",%s,"subject":%s,"authoredOn":"%s","dosageInstruction":[{"text":"one tablet daily"}]`,
			status, p.medication(n, d), p.ref(), on.Format("2006-01-02"))))
	}
	return out
}

const rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"

// medication is what a prescription names: mostly a code, sometimes a record of
// the practice.
func (p *patient) medication(n int, drug [2]string) string {
	if (p.i+n)%4 == 3 {
		return fmt.Sprintf(`"medicationReference":{"reference":"Medication/drug-%d"}`, slices.Index(drugs, drug))
	}
	return `"medicationCodeableConcept":` + coding(rxnorm, drug[0], drug[1])
}

func (p *patient) allergies() []string {
	if p.r.IntN(3) > 0 {
		return nil
	}
	a := pick(p.r, [][2]string{{"91936005", "Allergy to penicillin"}, {"91935009", "Allergy to peanuts"}})
	return []string{p.line("AllergyIntolerance", p.id("all", 0), epoch.AddDate(-2, 0, 0), fmt.Sprintf(
		`"clinicalStatus":{"coding":[{"code":"active"}]},"criticality":"high","code":%s,"patient":%s`,
		coding(snomed, a[0], a[1]), p.ref()))}
}

// measures are vitals and labs: code, name, unit, low, high, spread.
var measures = []struct {
	code, name, unit, category string
	low, high                  float64
}{
	{"8480-6", "Systolic blood pressure", "mm[Hg]", "vital-signs", 90, 140},
	{"8462-4", "Diastolic blood pressure", "mm[Hg]", "vital-signs", 60, 90},
	{"29463-7", "Body weight", "kg", "vital-signs", 50, 110},
	{"4548-4", "Hemoglobin A1c", "%", "laboratory", 4.0, 5.6},
	{"2160-0", "Creatinine", "mg/dL", "laboratory", 0.6, 1.3},
	{"2345-7", "Glucose", "mg/dL", "laboratory", 70, 99},
}

// observations are the measures of the visits, and a panel that holds the two
// blood pressures for some.
func (p *patient) observations() []string {
	var out []string
	p.eachMeasure(func(_, _ int, line string) { out = append(out, line) })
	for v, t := range p.visits {
		if v%4 != 2 {
			continue
		}
		out = append(out, p.line("Observation", p.id("bp", v), t, fmt.Sprintf(
			`"status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":%s,"subject":%s,"encounter":{"reference":"Encounter/%s"},`+
				`"effectiveDateTime":"%s","hasMember":[{"reference":"Observation/%s"},{"reference":"Observation/%s"}]`,
			coding(loinc, "85354-9", "Blood pressure panel"), p.ref(), p.id("enc", v), t.Format(time.RFC3339),
			p.id("obs", v*len(measures)), p.id("obs", v*len(measures)+1))))
	}
	return out
}

// eachMeasure calls fn for what was measured at each visit.
func (p *patient) eachMeasure(fn func(visit, measure int, line string)) {
	for v, t := range p.visits {
		for m, x := range measures {
			if x.category == "laboratory" && p.r.IntN(3) > 0 {
				continue
			}
			value := x.low + (x.high-x.low)*(p.r.Float64()*1.4-0.1)
			status := [...]string{"final", "final", "final", "final", "amended", "corrected"}[p.r.IntN(6)]
			fn(v, m, p.line("Observation", p.id("obs", v*len(measures)+m), t, fmt.Sprintf(
				`"status":"%s","category":[{"coding":[{"code":"%s"}]}],"code":%s,"subject":%s,"encounter":{"reference":"Encounter/%s"},`+
					`"effectiveDateTime":"%s","valueQuantity":{"value":%.1f,"unit":"%s","system":"%s","code":"%s"},`+
					`"referenceRange":[{"low":{"value":%.1f,"unit":"%s"},"high":{"value":%.1f,"unit":"%s"}}]`,
				status, x.category, coding(loinc, x.code, x.name), p.ref(), p.id("enc", v), t.Format(time.RFC3339),
				value, x.unit, ucum, x.unit, x.low, x.unit, x.high, x.unit)))
		}
	}
}

func (p *patient) immunizations() []string {
	var out []string
	for n := range p.r.IntN(4) {
		on := epoch.AddDate(-n, -p.r.IntN(12), 0)
		out = append(out, p.line("Immunization", p.id("imm", n), on, fmt.Sprintf(
			`"status":"completed","vaccineCode":%s,"patient":%s,"occurrenceDateTime":"%s"`,
			coding("http://hl7.org/fhir/sid/cvx", "140", "Influenza, seasonal, injectable"), p.ref(), on.Format("2006-01-02"))))
	}
	return out
}

func (p *patient) appointments() []string {
	on := epoch.AddDate(0, 0, 1+p.r.IntN(60))
	return []string{p.line("Appointment", p.id("app", 0), epoch, fmt.Sprintf(
		`"status":"booked","start":"%s","end":"%s","participant":[{"actor":%s,"status":"accepted"},{"actor":{"reference":"Practitioner/prac-%d"},"status":"accepted"}]`,
		on.Format(time.RFC3339), on.Add(20*time.Minute).Format(time.RFC3339), p.ref(), p.r.IntN(4)))}
}

func (p *patient) coverages() []string {
	return []string{p.line("Coverage", p.id("cov", 0), epoch.AddDate(-1, 0, 0), fmt.Sprintf(
		`"status":"active","beneficiary":%s,"payor":[{"display":"%s"}]`, p.ref(),
		pick(p.r, []string{"Medicare", "Blue Harbor Health", "Self pay"})))}
}

// shared are the records of the practice itself.
func (g *generator) shared(typ string) []string {
	p := &patient{g: g, r: chance(g.p.Seed, 0, typ)}
	var out []string
	switch typ {
	case "Organization":
		out = append(out, p.line(typ, "org-0", epoch, `"name":"Harbour Street Family Practice"`))
	case "Location":
		out = append(out, p.line(typ, "loc-0", epoch, `"status":"active","name":"Harbour Street"`))
	case "Practitioner":
		for i, n := range []string{"Adeyemi", "Lindström", "García", "Tanaka"} {
			out = append(out, p.line(typ, fmt.Sprintf("prac-%d", i), epoch, fmt.Sprintf(`"active":true,"name":[{"family":%s,"prefix":["Dr."]}]`, js(n))))
		}
	case "Medication":
		for i, d := range drugs {
			out = append(out, p.line(typ, fmt.Sprintf("drug-%d", i), epoch, `"status":"active","code":`+coding(rxnorm, d[0], d[1])))
		}
	case "Group":
		out = append(out, p.line(typ, "all-patients", epoch, fmt.Sprintf(`"type":"person","actual":true,"name":"All patients","quantity":%d`, g.p.Patients)))
	}
	return out
}

// A Day is what one day in the practice changed, by type.
type Day struct{ Created, Edited, Deleted map[string]int }

// Changes makes a day in the practice: visits with new observations and notes,
// corrected results, a deleted document. The same n gives the same day.
func (e *EMR) Changes(n int) (Day, error) {
	d := Day{map[string]int{}, map[string]int{}, map[string]int{}}
	g, ok := e.base.(*generator)
	if !ok {
		return e.folderDay(n, d)
	}
	seen := min(g.p.Patients, 3)
	for k := range seen {
		p := g.patient((n*7+k)%g.p.Patients, "day")
		if len(p.visits) == 0 {
			continue
		}
		visit := len(p.visits) + n
		for i, more := range []string{
			fmt.Sprintf(`{"resourceType":"Encounter","id":"%s","status":"finished","class":{"code":"AMB"},"subject":%s}`, p.id("enc", visit), p.ref()),
			fmt.Sprintf(`{"resourceType":"Observation","id":"%s","status":"final","code":%s,"subject":%s,"valueQuantity":{"value":%d.0,"unit":"mm[Hg]"}}`,
				p.id("obs", visit*len(measures)), coding(loinc, "8480-6", "Systolic blood pressure"), p.ref(), 118+k)} {
			if _, err := e.Put([]byte(more)); err != nil {
				return d, err
			}
			d.Created[[...]string{"Encounter", "Observation"}[i]]++
		}
		if err := e.Edit("Observation", p.id("obs", 0), func(m map[string]any) {
			m["status"], m["note"] = "corrected", []any{map[string]string{"text": fmt.Sprintf("corrected on day %d", n)}}
		}); err != nil {
			return d, err
		}
		d.Edited["Observation"]++
		if k == 0 {
			e.Delete("DocumentReference", p.id("doc", 0))
			d.Deleted["DocumentReference"]++
		}
	}
	return d, nil
}

// folderDay edits three records and deletes one of a served folder.
func (e *EMR) folderDay(n int, d Day) (Day, error) {
	for k, typ := range []string{"Patient", "Condition", "Encounter"} {
		var ids []string
		err := e.EachAt(typ, e.clock.Now(), func(id string, _ []byte) error {
			ids = append(ids, id)
			return nil
		})
		if err != nil || len(ids) < 2 {
			continue
		}
		id := ids[(n+k)%len(ids)]
		if k == 2 {
			e.Delete(typ, id)
			d.Deleted[typ]++
			continue
		}
		if err := e.Edit(typ, id, func(m map[string]any) { m["language"] = fmt.Sprintf("en-%d", n) }); err != nil {
			return d, err
		}
		d.Edited[typ]++
	}
	return d, nil
}
