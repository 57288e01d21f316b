package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A LIMIT in a statement leaves rows out. Either the caller goes on behind the last row, or something keeps the rows below
// the bound. A statement that does neither forgets what lies behind it: sessions beyond the first thousand came back to
// life that way when those before them ended.
const (
	page = "page" // read on from the last row until there is no more
	most = "most" // what is asked for is no more than that, by a bound that is enforced where the reason says
)

// limits says of each function with a LIMIT which of the two it is, and why.
var limits = map[string][2]string{
	"admin/inspect.go InspectUser":         {page, "shows the first of what is owed; inspect outbox --user goes on"},
	"admin/inspect.go owedWhere":           {page, "behind the last key"},
	"admin/inspect_shard.go owedRows":      {most, "what --limit asks for"},
	"sharding/status.go BucketRows":        {most, "a cluster has at most MaxBuckets: shard init refuses more"},
	"sharding/status.go jobsAfter":         {page, "behind the last name"},
	"social/backfill.go newestPublic":      {most, "the newest timeline.backfill messages are what a follow brings"},
	"social/ending.go livePage":            {page, "the job's checkpoint is the last account"},
	"social/ending.go eraseMessagesOf":     {page, "the job's checkpoint is the last message"},
	"social/fanout.go readFans":            {page, "the job's checkpoint is the last fan"},
	"social/idempotency.go dropExpired":    {page, "the next key of the person drops the next ones"},
	"social/listing.go written":            {page, "a list with a cursor"},
	"social/listing.go edges":              {page, "a list with a cursor"},
	"social/listing.go CommentsPage":       {page, "a fixed page, by its number"},
	"social/load.go ownRelations":          {page, "behind the last key"},
	"social/load.go readOwnReposts":        {page, "behind the last key"},
	"social/mutual.go forMutuals":          {page, "the job's checkpoint is the last message"},
	"social/outbox.go dueIn":               {page, "what is done is no longer due"},
	"social/outbox.go eachOwed":            {page, "behind the last key"},
	"social/relationlists.go relatedQuery": {page, "a list with a cursor"},
	"social/removal.go purgePage":          {page, "the job's checkpoint is the last message"},
	"social/sessionrows.go sessionsAfter":  {page, "behind the last session"},
	"social/timeline.go entries":           {page, "a list with a cursor"},
}

var limited = regexp.MustCompile(`\bLIMIT (\?|[0-9]|%d)`)

func TestEveryLimitIsAPageOrStandsUnderABound(t *testing.T) {
	found := map[string]token.Position{}
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || isTestHelper(path)):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			name := filepath.ToSlash(path) + " " + declName(decl)
			ast.Inspect(decl, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING && limited.MatchString(text.Value) {
					found[name] = files.Position(text.Pos())
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, known := limits[name]; !known {
			t.Errorf("%s: %s leaves rows out: say in limits whether it goes on (page) or what bounds it (most)", found[name], name)
		}
	}
	for name := range limits {
		if _, there := found[name]; !there {
			t.Errorf("%s has no LIMIT any more: take it out of limits", name)
		}
	}
}

// declName names a function by its name, and another declaration by its first.
func declName(decl ast.Decl) string {
	if f, ok := decl.(*ast.FuncDecl); ok {
		return f.Name.Name
	}
	for _, spec := range decl.(*ast.GenDecl).Specs {
		if v, ok := spec.(*ast.ValueSpec); ok {
			return v.Names[0].Name
		}
	}
	return fmt.Sprintf("%T", decl)
}
