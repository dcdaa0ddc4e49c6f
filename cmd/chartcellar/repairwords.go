package main

import "chartcellar/store/chart"

func (e *env) printRepair(rep repairReport) {
	if len(rep.Files) == 0 {
		e.printf("Nothing is damaged or missing%s.\n", map[bool]string{
			false: " among what was read; every byte is read with --deep", true: ": every byte was read"}[rep.Deep])
		return
	}
	e.printMended(rep)
	if rep.Left == 0 && len(rep.Lost) == 0 {
		e.printf("Everything that was damaged or missing is whole again. The damaged files are kept in the folder quarantine.\nNext: chartcellar verify\n")
		return
	}
	if rep.Left > 0 {
		e.printf("%s damaged or missing.\n", several(rep.Left, "file is still", "files are still"))
	}
	if words := rep.Harm.Words(); words != "" {
		e.printf("%s\n", words)
	}
	for _, p := range rep.Patients {
		e.printf("    %s\n", chart.CleanLine(p))
	}
	if n := rep.Harm.Patients - len(rep.Patients); n > 0 && rep.named {
		e.printf("    %s whose names are in what is damaged\n", several(n, "patient", "patients"))
	}
	e.printNext(rep)
}

// printMended says of each file what became of it.
func (e *env) printMended(rep repairReport) {
	mended := "mended from "
	if rep.DryRun {
		mended = "would be mended from "
	}
	for _, f := range rep.Files {
		if f.From != "" {
			e.printf("%s: %s, %s%s.\n", f.File, f.What, mended, f.From)
			continue
		}
		e.printf("%s: %s, and nothing has the same file.\n", f.File, f.What)
		for _, why := range f.Tried {
			e.printf("    %s.\n", why)
		}
	}
	e.printf("\n")
}

// printNext says what a person can do now.
func (e *env) printNext(rep repairReport) {
	switch {
	case len(rep.Lost) > 0:
		e.printf("%s declared lost. Every verification will name it; what is left of it lies in the folder quarantine.\n",
			several(len(rep.Lost), "file was", "files were"))
		e.printf("Next: chartcellar sync, a full pull, which brings again what the EMR still has. What it has no longer, and the\nolder states of records, stay lost unless a copy turns up: chartcellar repair --unlock --from FOLDER\n")
	case rep.Confirm != "":
		e.printf("Look for another copy first: an old disk, a restored computer. If there is none, this declares it lost, for ever:\n  chartcellar repair --declare-lost=%s\n", rep.Confirm)
	case rep.DryRun:
		e.printf("Nothing was changed.\n")
	default:
		e.printf("Everything else in the mirror is good. Keep the damaged files.\nIf another disk or folder has a copy: chartcellar repair --from FOLDER. If none has: chartcellar repair --declare-lost\n")
	}
}
