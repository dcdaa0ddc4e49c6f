// Writes a practice whose records are awkward, hostile or odd, as NDJSON files for
// `chartcellar demo --data`: what an EMR should not send and some do. Everybody in it is
// invented.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

export const script = `<script>window.pwned=1</script><img src=x onerror="window.pwned=1">`;
const loinc = (code, text) => ({ coding: [{ system: "http://loinc.org", code, display: text }], text });
const laboratory = [{ coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "laboratory" }] }];
const vital = [{ coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "vital-signs" }] }];
const code = (c) => ({ coding: [{ code: c }] });
const b64 = (s) => Buffer.from(s).toString("base64");
const of = (id) => ({ reference: "Patient/" + id });

// zone is where the practice stands; day is the date there, so many days ago.
export const zone = "America/New_York";
export const day = (back) => new Date(Date.parse(new Date().toLocaleDateString("en-CA", { timeZone: zone })) - back * 86400e3).toISOString().slice(0, 10);

// pdf makes a document of one page with a line of text on it.
export function pdf(text, trailer = "") {
	const parts = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>"];
	const stream = `BT /F1 18 Tf 40 200 Td (${text}) Tj ET`;
	parts.push(`<</Length ${stream.length}>>stream\n${stream}\nendstream`, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>");
	let out = "%PDF-1.4\n";
	const at = parts.map((p, i) => { const here = out.length; out += `${i + 1} 0 obj${p}endobj\n`; return here; });
	const xref = out.length;
	out += `xref\n0 ${parts.length + 1}\n0000000000 65535 f \n` + at.map((n) => String(n).padStart(10, "0") + " 00000 n \n").join("");
	return out + `trailer<</Size ${parts.length + 1}/Root 1 0 R${trailer}>>\nstartxref\n${xref}\n%%EOF`;
}

const locked = "/Encrypt<</Filter/Standard/V 1/R 2/O(12345678901234567890123456789012)/U(12345678901234567890123456789012)/P -4>>/ID[<00><00>]";
const png = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC";
const ccda = `<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Letter ${script.replaceAll("<", "&lt;")}</title><component><structuredBody>` +
	`<component><section><code code="48765-2"/><title>Allergies</title><text><table onclick="window.pwned=1"><tbody><tr><td>Peanut</td><td><linkHtml href="javascript:window.pwned=1">more</linkHtml></td></tr></tbody></table><renderMultiMedia referencedObject="x"/></text></section></component>` +
	`<component><section><title>Plan</title><text><paragraph>Come back in spring</paragraph><script>window.pwned=1</script></text></section></component></structuredBody></component></ClinicalDocument>`;
const rtf = `{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}\\f0 Dear colleague,\\par the knee is better. ${script}{\\*\\objdata 0105}\\par}`;
const html = `<html><head><meta http-equiv="refresh" content="0;url=https://evil.example/"><base href="https://evil.example/"></head><body onload="window.pwned=1"><p>Seen on Monday</p>${script}<img src="https://evil.example/x.png"><iframe src="https://evil.example/"></iframe><svg onload="window.pwned=1"><script>window.pwned=1</script></svg><a href="javascript:window.pwned=1">click</a></body></html>`;
const svg = `<svg xmlns="http://www.w3.org/2000/svg" onload="window.pwned=1"><script>window.pwned=1</script><rect width="9" height="9"/></svg>`;

const patients = [
	{ id: "anna", name: [{ family: "Müller-Ötz", given: ["Anna", "Lou"] }, { use: "maiden", family: "O’Brien" }], birthDate: "1950-03-12", gender: "female", telecom: [{ system: "phone", value: "+1 555 010 4711" }], identifier: [{ type: code("MR"), value: "MRN-1001" }] },
	{ id: "anna-again", name: [{ family: "Muller-Otz", given: ["Anna Lou"] }], birthDate: "1950-03-12", gender: "female" },
	{ id: "rtl", name: [{ family: "الحسن", given: ["ليلى"] }], birthDate: "1988-07-01", gender: "female" },
	{ id: "han", name: [{ text: "王小明", family: "王", given: ["小明"] }], birthDate: "1975", gender: "male" },
	{ id: "newborn", name: [{ family: "Newborn", given: ["Boy"] }], birthDate: day(3), gender: "male" },
	{ id: "unknown-birth", name: [{ family: "Nodate" }] },
	{ id: "empty" },
	{ id: "noah", name: [{ family: "Nolan", given: ["Noah"] }], birthDate: "2010-10-10", gender: "male", active: false },
	{ id: "dead", name: [{ family: "Gone", given: ["Paul"] }], birthDate: "1931-05-05", deceasedDateTime: "2024-02-29", gender: "male" },
	{ id: "hostile", name: [{ family: script, given: ["{{.}}"] }], birthDate: "1980-01-01", identifier: [{ type: code("MR"), value: `=cmd|' /C calc'!A0` }], telecom: [{ system: "phone", value: `"><script>window.pwned=1</script>` }] },
	{ id: "heavy", name: [{ family: "Heavy", given: ["Ida"] }], birthDate: "1960-06-06", gender: "female" },
	{ id: "grown", name: [{ family: "Grown", given: ["Sam"] }], birthDate: "1999-01-10", gender: "male" },
];

const lab = (id, test, when, more) => ({ resourceType: "Observation", id, status: "final", category: laboratory, subject: of("anna"), code: test, effectiveDateTime: when, ...more });
const range = (low, high, unit, text) => ({ low: { value: low, unit }, high: { value: high, unit }, ...(text && { appliesTo: [{ text }] }) });
const glucose = loinc("2345-7", "Glucose");

function observations() {
	const list = [
		lab("crp", loinc("1988-5", "C-reactive protein"), "2026-01-05", { valueQuantity: { value: 5, comparator: "<", unit: "mg/L" } }),
		lab("titer", loinc("5076-5", "ANA titer"), "2026-01-05", { valueRatio: { numerator: { value: 1 }, denominator: { value: 160 } } }),
		lab("be", loinc("11555-0", "Base excess"), "2026-01-05", { valueQuantity: { value: -3.5, unit: "mmol/L" }, referenceRange: [range(-2, 2, "mmol/L")] }),
		lab("strep", loinc("18481-2", "Strep A"), "2026-01-05", { valueString: "not detected" }),
		lab("g1", glucose, "2024-01-05", { valueQuantity: { value: 5.4, unit: "mmol/L" }, referenceRange: [range(3.9, 5.6, "mmol/L")] }),
		lab("g2", glucose, "2024-07-05", { valueQuantity: { value: 6.1, unit: "mmol/L" }, referenceRange: [range(3.9, 5.6, "mmol/L")] }),
		lab("g3", glucose, "2025-01-05", { valueQuantity: { value: 118, unit: "mg/dL" }, referenceRange: [range(70, 100, "mg/dL")], interpretation: [{ coding: [{ code: "H" }] }] }),
		lab("g4", glucose, "2025-07-05", { status: "corrected", valueQuantity: { value: 99, unit: "mg/dL" }, referenceRange: [range(70, 99, "mg/dL")] }),
		lab("g5", glucose, "2025-08-05", { status: "cancelled" }),
		lab("g6", glucose, "2026-01-05", { valueQuantity: { value: 101, unit: "mg/dL" }, note: [{ text: "not fasting" }] }),
		lab("g7", glucose, "2026-01-06", { status: "entered-in-error", valueQuantity: { value: 999, unit: "mg/dL" } }),
		lab("ferr", loinc("2276-4", "Ferritin"), "2026-01-05", { valueQuantity: { value: 20, unit: "ug/L" }, referenceRange: [range(15, 150, "ug/L", "women"), range(30, 400, "ug/L", "men")] }),
		lab("nothing", loinc("2951-2", "Sodium"), "2026-01-05", { dataAbsentReason: { text: "sample clotted" } }),
		{ resourceType: "Observation", id: "odd-status", status: "wonderful", subject: of("anna"), code: { text: "Odd" }, valueQuantity: { value: 1 } },
		{ resourceType: "Observation", id: "hiv", meta: { security: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "R", display: "restricted" }] }, status: "final", category: laboratory, subject: of("anna"), code: { text: "HIV test" }, valueString: "secret result", effectiveDateTime: "2025-02-02" },
	];
	for (let i = 0; i < 8; i++) {
		list.push({ resourceType: "Observation", id: "bp" + i, status: "final", category: vital, subject: of("anna"), code: loinc("85354-9", "Blood pressure"), effectiveDateTime: `2025-0${i + 1}-10`,
			component: [{ code: loinc("8480-6", "Systolic"), valueQuantity: { value: 130 + i, unit: "mm[Hg]" } }, { code: loinc("8462-4", "Diastolic"), valueQuantity: { value: 80 + i, unit: "mm[Hg]" } }] });
		list.push({ resourceType: "Observation", id: "w" + i, status: "final", category: vital, subject: of("grown"), code: loinc("29463-7", "Body weight"), effectiveDateTime: `200${i}-03-01`, valueQuantity: { value: 8 + 3 * i, unit: "kg" } });
	}
	for (let i = 0; i < 5000; i++) {
		list.push({ resourceType: "Observation", id: "heavy-" + i, status: "final", category: laboratory, subject: of("heavy"), code: loinc(`${1000 + i % 60}-4`, "Test " + (i % 60)),
			effectiveDateTime: `20${10 + i % 15}-${String(1 + i % 12).padStart(2, "0")}-${String(1 + i % 28).padStart(2, "0")}`, valueQuantity: { value: i % 97, unit: "mg/dL" }, referenceRange: [range(10, 70, "mg/dL")] });
	}
	return list;
}

const document = (id, patient, title, contentType, data, more = {}) => ({ resourceType: "DocumentReference", id, status: "current", subject: of(patient), date: "2026-01-03T10:00:00Z", type: { text: title },
	content: [{ attachment: { contentType, title, ...(data && { data: b64(data) }), ...more } }] });

const documents = [
	document("good-pdf", "anna", "Good letter", "application/pdf", pdf("The heart is well")),
	document("corrupt-pdf", "anna", "Corrupt letter", "application/pdf", "%PDF-1.4\nthis is no document"),
	document("locked-pdf", "anna", "Locked letter", "application/pdf", pdf("secret", locked)),
	document("wrong-type", "anna", "Says text", "text/plain", pdf("it is a PDF")),
	document("ccda", "anna", "Summary of care", "application/hl7-cda+xml", ccda),
	document("rtf", "anna", "Referral", "application/rtf", rtf),
	document("html", "anna", "Web page", "text/html", html),
	document("svg", "anna", "Drawing", "image/svg+xml", svg),
	{ ...document("png", "anna", "Scan", "image/png"), content: [{ attachment: { contentType: "image/png", title: "Scan", data: png } }] },
	document("tiff", "anna", "Fax", "image/tiff", "II*\0 not shown"),
	document("text", "anna", "Note", "text/plain", "Seen today. Knee pain since spring.\nPlan: X-ray.\n" + script),
	document("missing", "anna", "Only at the EMR", "application/pdf", "", { url: "Binary/not-there" }),
	document("bad-name", "hostile", "../../etc/a.pdf\u0000.exe\u202efdp", "application/pdf", pdf("bad name")),
];

const rest = {
	AllergyIntolerance: [{ resourceType: "AllergyIntolerance", id: "pen", clinicalStatus: code("active"), criticality: "high", patient: of("anna"), code: { text: "Penicillin" }, reaction: [{ manifestation: [{ text: "Rash" }] }] },
		{ resourceType: "AllergyIntolerance", id: "nut", verificationStatus: code("refuted"), patient: of("anna"), code: { text: "Peanut" } },
		{ resourceType: "AllergyIntolerance", id: "oops", verificationStatus: code("entered-in-error"), patient: of("anna"), code: { text: "Entered by mistake" } }],
	Condition: [{ resourceType: "Condition", id: "ht", clinicalStatus: code("active"), subject: of("anna"), code: { coding: [{ system: "http://snomed.info/sct", code: "38341003", display: "Hypertension" }] }, onsetDateTime: "2019-05", text: { status: "generated", div: `<div xmlns="http://www.w3.org/1999/xhtml">Narrative ${script}<img src="https://evil.example/x"/></div>` } },
		{ resourceType: "Condition", id: "huge", clinicalStatus: code("active"), subject: of("anna"), code: { text: "With a huge extension" }, extension: Array.from({ length: 300 }, (_, i) => ({ url: "https://vendor.example/e" + i, valueString: "value " + i + " " + "x".repeat(200) })) },
		{ resourceType: "Condition", id: "rtl-c", clinicalStatus: code("active"), subject: of("rtl"), code: { text: "ارتفاع ضغط الدم" } }],
	MedicationRequest: [{ resourceType: "MedicationRequest", id: "lis", status: "active", intent: "order", subject: of("anna"), medicationReference: { reference: "#m" }, contained: [{ resourceType: "Medication", id: "m", code: { text: "Lisinopril 10 mg" } }], requester: { reference: "Practitioner/ruth" }, dosageInstruction: [{ text: "one each morning" }] }],
	Practitioner: [{ resourceType: "Practitioner", id: "ruth", name: [{ prefix: ["Dr."], given: ["Ruth"], family: "Adeyemi" }] }],
	Encounter: [{ resourceType: "Encounter", id: "visit", status: "finished", class: { code: "AMB" }, subject: of("anna"), period: { start: "2026-01-03T09:00:00Z" }, participant: [{ individual: { reference: "Practitioner/ruth" } }] }],
	Appointment: [{ resourceType: "Appointment", id: "soon", status: "booked", start: new Date(Date.now() + 86400e3).toISOString(), participant: [{ actor: of("anna"), status: "accepted" }] }],
	Immunization: [{ resourceType: "Immunization", id: "flu", status: "completed", patient: of("anna"), vaccineCode: { text: "Influenza" }, occurrenceDateTime: "2025-10-01" }],
};

// write makes the practice in a folder and returns how many records it has.
export function write(folder) {
	mkdirSync(folder, { recursive: true });
	const all = { Patient: patients.map((p) => ({ resourceType: "Patient", ...p })), Observation: observations(), DocumentReference: documents, ...rest };
	let n = 0;
	for (const [type, list] of Object.entries(all)) {
		const dated = list.map((r) => ({ ...r, meta: { versionId: "1", lastUpdated: "2026-01-10T00:00:00.000Z", ...r.meta } }));
		writeFileSync(path.join(folder, type + ".ndjson"), dated.map((r) => JSON.stringify(r)).join("\n") + "\n");
		n += list.length;
	}
	return n;
}

if (process.argv[1] === import.meta.filename) console.log(write(process.argv[2]) + " records in " + process.argv[2]);
