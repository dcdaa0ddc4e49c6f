package chart_test

import (
	"fmt"
	"strings"
	"testing"

	"chartcellar/store/chart"
)

func TestCodeSearch(t *testing.T) {
	const (
		diabetes = `{"resourceType":"Condition","id":"c","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"code":{"coding":[{"system":"http://snomed.info/sct","code":"44054006","display":"Diabetes mellitus type 2"},{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"E11.9"}],"text":"Type 2 diabetes"},"onsetDateTime":"2019-05-01T00:00:00Z"%s,"note":[{"text":"no retinopathy"}]}`
		request  = `{"resourceType":"MedicationRequest","id":"m","status":"active",%s,"authoredOn":"2026-01-02","reasonCode":[{"text":"gout"}]}`
		shot     = `{"resourceType":"Immunization","id":"i","status":"%s","vaccineCode":{"coding":[{"system":"http://hl7.org/fhir/sid/cvx","code":"140","display":"Influenza, seasonal"}]},"occurrenceDateTime":"2025-10"}`
		lab      = `{"resourceType":"Observation","id":"o","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"4548-4","display":"Hemoglobin A1c"}]},"valueQuantity":{"value":6.1,"unit":"%","system":"http://unitsofmeasure.org","code":"%"},"component":[{"code":{"coding":[{"system":"http://loinc.org","code":"4549-2"}],"text":"A1c, other"}}]}`
	)
	known := records{"Medication/met": `{"resourceType":"Medication","id":"met","code":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"860975","display":"metformin 500 MG"}]}}`}
	tests := []struct {
		name string
		kind chart.CodeKind
		text string
		line string
		want string // codings; date; void
	}{
		{"words of one coding", "", "diabetes mellitus", fmt.Sprintf(diabetes, ""), "SNOMED 44054006 Diabetes mellitus type 2; 2019-05-01"},
		{"words of the concept fit each of its codings", "", "type-2 diabetes", fmt.Sprintf(diabetes, ""), ""},
		{"the text stands for a coding without words", "", `"type 2 diabetes"`, fmt.Sprintf(diabetes, ""), "SNOMED 44054006 Diabetes mellitus type 2, ICD-10-CM E11.9 Type 2 diabetes; 2019-05-01"},
		{"a code by itself", "", "e11.9", fmt.Sprintf(diabetes, ""), "ICD-10-CM E11.9 Type 2 diabetes; 2019-05-01"},
		{"half a code", "", "4405", fmt.Sprintf(diabetes, ""), ""},
		{"a code with its system", "", "http://snomed.info/sct|44054006", fmt.Sprintf(diabetes, ""), "SNOMED 44054006 Diabetes mellitus type 2; 2019-05-01"},
		{"another system", "", "loinc|44054006", fmt.Sprintf(diabetes, ""), ""},
		{"a remark is no code", "", "retinopathy", fmt.Sprintf(diabetes, ""), ""},
		{"a problem, not its state", chart.HasProblem, "active", fmt.Sprintf(diabetes, ""), ""},
		{"its state, if any code will do", "", "active", fmt.Sprintf(diabetes, ""), "condition-clinical active ; 2019-05-01"},
		{"refuted", chart.HasProblem, "diabetes", fmt.Sprintf(diabetes, `,"verificationStatus":{"coding":[{"code":"refuted"}]}`), "SNOMED 44054006 Diabetes mellitus type 2, ICD-10-CM E11.9 Type 2 diabetes; 2019-05-01; void"},
		{"only words", chart.HasProblem, "gout", `{"resourceType":"Condition","id":"c","code":{"text":"Gout, left foot"}}`, " Gout, left foot; "},
		{"before a day", "", "diabetes to:2018", fmt.Sprintf(diabetes, ""), ""},
		{"but not", "", "diabetes -mellitus", fmt.Sprintf(diabetes, ""), "ICD-10-CM E11.9 Type 2 diabetes; 2019-05-01"},
		{"a medicine by name", chart.HasMedicine, "metformin", fmt.Sprintf(request, `"medicationCodeableConcept":{"text":"Metformin 500 mg"}`), " Metformin 500 mg; 2026-01-02"},
		{"a medicine that is referred to", chart.HasMedicine, "METFORMIN", fmt.Sprintf(request, `"medicationReference":{"reference":"Medication/met"}`), "RxNorm 860975 metformin 500 MG; 2026-01-02"},
		{"a medicine that the reference names", chart.HasMedicine, "lisinopril", fmt.Sprintf(request, `"medicationReference":{"reference":"Medication/other","display":"Lisinopril 10 mg"}`), " Lisinopril 10 mg; 2026-01-02"},
		{"a medicine inside", chart.HasMedicine, "aspirin", fmt.Sprintf(request, `"contained":[{"resourceType":"Medication","id":"x","code":{"text":"Aspirin"}},{"resourceType":"Practitioner","id":"y","qualification":[{"code":{"text":"aspirin expert"}}]}],"medicationReference":{"reference":"#x"}`), " Aspirin; 2026-01-02"},
		{"why it is taken is no medicine", chart.HasMedicine, "gout", fmt.Sprintf(request, `"medicationCodeableConcept":{"text":"Allopurinol"}`), ""},
		{"a medicine that was not to be given", chart.HasMedicine, "aspirin", fmt.Sprintf(request, `"doNotPerform":true,"medicationCodeableConcept":{"text":"Aspirin"}`), " Aspirin; 2026-01-02; void"},
		{"a vaccine", chart.HasVaccine, "influenza", fmt.Sprintf(shot, "completed"), "CVX 140 Influenza, seasonal; 2025-10"},
		{"a vaccine that was not given", chart.HasVaccine, "cvx|140", fmt.Sprintf(shot, "not-done"), "CVX 140 Influenza, seasonal; 2025-10; void"},
		{"a component", "", "a1c", lab, "LOINC 4548-4 Hemoglobin A1c, LOINC 4549-2 A1c, other; "},
		{"a unit is no code", "", `"%"`, lab, ""},
		{"not JSON", "", "a", `{"a"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := chart.ParseTerms(tt.text).CodeSearch(tt.kind)
			if err != nil {
				t.Fatal(err)
			}
			r := chart.Resource{Type: "X", ID: "x", Raw: []byte(tt.line)}
			coded := s.Matcher(known).Match(r)
			got := ""
			if len(coded.Codings) > 0 {
				var list []string
				for _, c := range coded.Codings {
					list = append(list, c.Name()+" "+c.Words)
				}
				got = strings.Join(list, ", ") + "; " + coded.Date
				if coded.Void {
					got += "; void"
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			// Each coding is found again by its own term.
			for _, c := range coded.Codings {
				again, err := chart.Terms{Words: []string{c.Term()}}.CodeSearch(tt.kind)
				if err != nil {
					t.Fatal(err)
				}
				if found := again.Matcher(known).Match(r); len(found.Codings) == 0 || found.Codings[0] != c {
					t.Errorf("%q finds %+v, want %+v", c.Term(), found, c)
				}
			}
		})
	}
	if _, err := chart.ParseTerms(" ").CodeSearch(""); err == nil {
		t.Error("nothing was accepted")
	}
	if s, err := chart.ParseTerms("x type:Condition").CodeSearch(""); err != nil || strings.Join(s.Types(), " ") != "Condition" {
		t.Errorf("types %v, %v", s.Types(), err)
	}
}
