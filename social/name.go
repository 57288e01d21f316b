package social

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxFoldedName bounds a folded name in bytes, so that its key, in hexadecimal, fits into a journal's row. Thirty letters of
// any script are at most 120; a few ligatures fold to many more.
const maxFoldedName = 320

// foldName returns the form by which a name is unique: NFKC and full case folding, until nothing changes any more.
func foldName(name string) string {
	for range 4 {
		next := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
		if next == name {
			break
		}
		name = next
	}
	return name
}

// checkName accepts 1 to 30 letters, digits or _ of any script, marks included where a script writes with them.
func checkName(name string) error {
	if !utf8.ValidString(name) {
		return errorf(CodeMalformed, "/name", "the name is not valid UTF-8")
	}
	runes := 0
	for i, r := range name {
		runes++
		ok := r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || i > 0 && (unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r))
		if !ok || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r) {
			return errorf(CodeNameInvalid, "/name", "a name is made of letters, digits and _; %q is none of them", r)
		}
	}
	if runes == 0 || runes > MaxNameRunes {
		return errorf(CodeNameInvalid, "/name", "a name has 1 to %d letters, digits or _; this one has %d", MaxNameRunes, runes)
	}
	if folded := foldName(name); len(folded) > maxFoldedName || strings.TrimSpace(folded) == "" {
		return errorf(CodeNameInvalid, "/name", "this name is too long once folded")
	}
	return nil
}
