package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"socialctl/configs"
)

// A load is people who use the API of running processes, each one request after the other and all at once, and know
// what every answer must be: each is the only writer of what is theirs, so what has been acknowledged to them is the
// model. Where no answer came they find out by reading, and go on from there.

// world is the people of a test, the servers that they use, and what concerns them all.
type world struct {
	t        *testing.T
	http     *http.Client
	patience time.Duration // the longest that an answer may take
	pace     time.Duration // between a person's requests, on average
	people   []*person

	servers atomic.Pointer[[]string] // each request goes to any of these addresses
	dying   atomic.Bool              // a server is being killed: there may be no answer
	outage  atomic.Bool              // a part is away: an answer may be a 503
	lag     atomic.Int64             // so many milliseconds later another server decides by what was acknowledged

	mu       sync.Mutex
	ends     map[string]ending // of messages
	board    []message         // the newest messages, to be answered and passed on
	slowest  time.Duration
	requests int
	refused  int // 503 during an outage
	wrongs   int
}

// ending is what is known of a message's deletion.
type ending struct {
	begun bool
	known time.Time // from then on no server shows it; zero: it is not known to be gone
}

func newWorld(t *testing.T, servers ...string) *world {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{t: t, patience: 10 * time.Second, ends: map[string]ending{}}
	w.http = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	w.use(servers...)
	return w
}

func (w *world) use(servers ...string) { w.servers.Store(&servers) }

// wrong reports what must not be; the first few of it say enough.
func (w *world) wrong(format string, args ...any) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrongs++; w.wrongs <= 10 {
		w.t.Errorf(format, args...)
	} else {
		w.t.Fail()
	}
}

func (w *world) late() time.Duration { return time.Duration(w.lag.Load()) * time.Millisecond }

func (w *world) right() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrongs == 0
}

// answer is what a server said; status 0 is nothing.
type answer struct {
	status int
	began  time.Time
	header http.Header
	body   []byte
}

// undecided says that the answer does not tell whether what was asked has happened.
func (a answer) undecided() bool {
	return a.status == 0 || a.status == http.StatusServiceUnavailable ||
		a.status == http.StatusConflict && bytes.Contains(a.body, []byte(`"idempotency_in_progress"`))
}

func (a answer) into(v any) error { return json.Unmarshal(a.body, v) }

// ask sends a request to any of the servers, and holds every answer to what is true of all of them.
func (w *world) ask(chance *rand.Rand, token, method, path string, body any, key string) answer {
	servers := *w.servers.Load()
	return w.askAt(servers[chance.IntN(len(servers))], token, method, path, body, key)
}

func (w *world) askAt(server, token, method, path string, body any, key string) answer {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			w.wrong("%v", err)
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+server+path, reader)
	if err != nil {
		w.wrong("%v", err)
		return answer{}
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	outage := w.outage.Load()
	a := answer{began: time.Now()}
	got, err := w.http.Do(r)
	if err == nil {
		a.body, err = io.ReadAll(got.Body)
		_ = got.Body.Close()
	}
	took := time.Since(a.began)
	if err != nil {
		if !w.dying.Load() {
			w.wrong("%s %s: no answer after %s: %v", method, path, took, err)
		}
		return answer{}
	}
	a.status, a.header = got.StatusCode, got.Header
	w.count(a, took)
	if took > w.patience {
		w.wrong("%s %s: %d only after %s", method, path, a.status, took)
	}
	if a.status >= 500 {
		problem := a.status == http.StatusServiceUnavailable && a.header.Get("Content-Type") == "application/problem+json" &&
			a.header.Get("Retry-After") != ""
		if !problem || !outage && !w.outage.Load() {
			w.wrong("%s %s at %s: %d %v %s", method, path, time.Now().Format("15:04:05.000"), a.status, a.header, a.body)
		}
	}
	return a
}

func (w *world) count(a answer, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	w.slowest = max(w.slowest, took)
	if a.status == http.StatusServiceUnavailable {
		w.refused++
	}
}

// tally says what the load has been since the last time it was asked.
func (w *world) tally() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf("%d requests, %d of them refused with 503, the slowest took %s", w.requests, w.refused, w.slowest)
	w.requests, w.refused, w.slowest = 0, 0, 0
	return text
}

// post puts a message on the board.
func (w *world) post(m message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.board = append(w.board[max(0, len(w.board)-99):], m)
}

// any is one of the newest messages.
func (w *world) any(chance *rand.Rand) message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.board[chance.IntN(len(w.board))]
}

func (w *world) end(id string, e ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[id] = e
}

// ended reports whether a message may be gone, and whether it must be for a request that began at that time.
func (w *world) ended(id string, at time.Time) (may, must bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.ends[id]
	return e.begun, !e.known.IsZero() && e.known.Before(at)
}

// message is one as the API shows it.
type message struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Content string `json:"content"`
	Author  struct {
		ID string `json:"id"`
	} `json:"author"`
	CreatedAt string     `json:"created_at"`
	Parent    *reference `json:"parent"`
	Origin    *reference `json:"origin"`
	Comments  int        `json:"comment_count"`
	Reposts   int        `json:"repost_count"`
}

type reference struct {
	ID string `json:"id"`
}

// refersTo reports whether the message counts for, and is listed under, another.
func (m *message) refersTo(id string) bool {
	return m.Parent != nil && m.Parent.ID == id || m.Origin != nil && m.Origin.ID == id
}

func (m *message) number() int {
	_, n, _ := strings.Cut(m.ID, "-")
	number, _ := strconv.Atoi(n)
	return number
}

// newestFirst is the one order of all lists of messages.
func newestFirst(x, y message) int {
	a, _ := strconv.Atoi(x.Author.ID)
	b, _ := strconv.Atoi(y.Author.ID)
	return cmp.Or(cmp.Compare(y.CreatedAt, x.CreatedAt), cmp.Compare(b, a), cmp.Compare(y.number(), x.number()))
}

func idsOf(list []message) string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return strings.Join(ids, " ")
}

// page is a list's answer.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor"`
	Count int    `json:"page_count"`
}

// person is somebody with a token, and what they know to be true.
type person struct {
	w               *world
	id, name, token string
	chance          *rand.Rand
	wrote           map[string]message // live ones, by id
	deleted         map[string]message
	follows         map[*person]bool
	unsure          time.Time            // until then not every server need know it
	untold          map[string]time.Time // until then home need not have a message that was found, and never answered
	open            *act                 // got no answer: nothing else is written before it is known what became of it
	repeats         []*act               // published with a key, known to have happened or not, and to be sent again
	acts            int
}

// act is a write: what its answer means, and how to find out by reading where there was none.
type act struct {
	method, path, key string
	body              any
	done              func(a answer)
	find              func() (found bool)
}

// signUp makes people, who each say something that they never delete.
func (w *world) signUp(prefix string, n int, seed uint64) []*person {
	w.t.Helper()
	made := make([]*person, n)
	for i := range made {
		p := &person{w: w, name: fmt.Sprintf("%s%d", prefix, i), chance: rand.New(rand.NewPCG(seed, uint64(len(w.people)))),
			wrote: map[string]message{}, deleted: map[string]message{}, untold: map[string]time.Time{}, follows: map[*person]bool{}}
		a := p.ask("POST", "/v1/accounts", map[string]string{"name": p.name, "password": "correct horse"}, "")
		var granted struct {
			Token   string
			Account struct{ ID string }
		}
		if err := a.into(&granted); err != nil || a.status != http.StatusCreated {
			w.t.Fatalf("sign-up: %d %s, %v", a.status, a.body, err)
		}
		p.id, p.token = granted.Account.ID, granted.Token
		p.publish("/v1/messages", "", "here I am")
		if len(p.wrote) != 1 {
			w.t.Fatalf("%s could not publish", p.name)
		}
		made[i] = p
		w.people = append(w.people, p)
	}
	return made
}

// part makes a world of some of the people, who have had nothing to do with anybody yet.
func (w *world) part(people []*person) *world {
	part := newWorld(w.t, *w.servers.Load()...)
	part.people = people
	for _, p := range people {
		p.w = part
		for _, m := range p.wrote {
			part.post(m)
		}
	}
	return part
}

func (p *person) ask(method, path string, body any, key string) answer {
	return p.w.ask(p.chance, p.token, method, path, body, key)
}

// get asks for something that must be there; false when a part is away.
func (p *person) get(path string, into any) (answer, bool) {
	a := p.ask("GET", path, nil, "")
	if a.undecided() {
		return a, false
	}
	if err := a.into(into); err != nil || a.status != http.StatusOK {
		p.w.wrong("GET %s as %s: %d %s, %v", path, p.name, a.status, a.body, err)
		return a, false
	}
	return a, true
}

// all reads a list to its end.
func all[T any](p *person, path string) ([]T, bool) {
	items := []T{}
	for cursor := ""; ; {
		var got page[T]
		if _, ok := p.get(path+"?limit=100"+cursor, &got); !ok {
			return nil, false
		}
		items = append(items, got.Items...)
		if got.Next == "" {
			return items, true
		}
		cursor = "&cursor=" + url.QueryEscape(got.Next)
	}
}

// written are the live messages, newest first.
func (p *person) written() []message {
	return slices.SortedFunc(maps.Values(p.wrote), newestFirst)
}

// do carries out a write.
func (p *person) do(a *act) {
	if got := p.ask(a.method, a.path, a.body, a.key); got.undecided() {
		p.open = a
	} else {
		a.done(got)
	}
}

// publish posts, comments and reposts, under a key. on is what it refers to.
func (p *person) publish(path, on, words string) {
	p.acts++
	if words != "" {
		words = fmt.Sprintf("%s, %d of %s", words, p.acts, p.name)
	}
	a := &act{method: "POST", path: path, key: fmt.Sprintf("%s-%d", p.name, p.acts), body: map[string]string{"content": words}}
	id := "" // as the first look found it
	a.done = func(got answer) {
		var m message
		switch {
		case got.status == http.StatusCreated || got.status == http.StatusOK && words == "":
			if err := got.into(&m); err != nil || m.Content != words || m.Author.ID != p.id || on != "" && !m.refersTo(on) {
				p.w.wrong("POST %s of %q: %s, %v", path, words, got.body, err)
			} else if id != "" && m.ID != id {
				p.w.wrong("POST %s of %q was stored as %s, and is answered with %s", path, words, id, m.ID)
			} else {
				p.note(m)
				delete(p.untold, m.ID)
			}
		case got.status == http.StatusNotFound && on != "":
			if may, _ := p.w.ended(on, time.Now()); !may {
				p.w.wrong("POST %s: %s, and nobody deleted it", path, got.body)
			}
		default:
			p.w.wrong("POST %s of %q: %d %s", path, words, got.status, got.body)
		}
	}
	a.find = func() bool {
		var got page[message]
		if _, ok := p.get("/v1/accounts/me/messages", &got); !ok {
			return false
		}
		for _, m := range got.Items {
			if _, known := p.wrote[m.ID]; !known && m.Content == words && (on == "" || m.refersTo(on)) {
				id = m.ID
				p.note(m)
				p.untold[m.ID] = time.Now().Add(unanswered)
			}
		}
		return true
	}
	p.do(a)
}

func (p *person) note(m message) {
	if _, known := p.wrote[m.ID]; !known {
		p.wrote[m.ID] = m
		p.w.post(m)
	}
}

// follow begins to follow somebody, or ends it.
func (p *person) follow(other *person, live bool) {
	a := &act{method: "PUT", path: "/v1/accounts/" + other.id + "/follow"}
	if !live {
		a.method = "DELETE"
	}
	type relationship struct {
		Following bool
	}
	a.done = func(got answer) {
		var r relationship
		pending := got.status == http.StatusAccepted && p.w.outage.Load()
		if err := got.into(&r); err != nil || got.status != http.StatusOK && !pending || r.Following != live {
			p.w.wrong("%s %s: %d %s, %v", a.method, a.path, got.status, got.body, err)
		}
		p.follows[other], p.unsure = live, time.Now().Add(p.w.late())
	}
	a.find = func() bool {
		var got page[relationship]
		if _, ok := p.get("/v1/accounts/relationships?ids="+other.id, &got); !ok || len(got.Items) != 1 {
			return false
		}
		p.follows[other], p.unsure = got.Items[0].Following, time.Now().Add(unanswered)
		return true
	}
	p.do(a)
}

// remove deletes one of one's messages.
func (p *person) remove(m message) {
	a := &act{method: "DELETE", path: "/v1/messages/" + m.ID}
	p.w.end(m.ID, ending{begun: true})
	gone := func() {
		delete(p.wrote, m.ID)
		p.deleted[m.ID] = m
	}
	a.done = func(got answer) {
		if got.status != http.StatusNoContent {
			p.w.wrong("DELETE %s: %d %s", a.path, got.status, got.body)
		}
		p.w.end(m.ID, ending{true, time.Now().Add(p.w.late())})
		gone()
	}
	a.find = func() bool {
		mine, ok := all[message](p, "/v1/accounts/me/messages")
		if ok && !slices.ContainsFunc(mine, func(other message) bool { return other.ID == m.ID }) {
			gone()
			p.w.end(m.ID, ending{true, time.Now().Add(unanswered)})
		}
		return ok
	}
	p.do(a)
}

// unanswered is how long servers may show the state before a write that got no answer: until the work that its server
// left behind has been taken over.
const unanswered = 10 * time.Second

// resume finds out what became of a write without an answer. As chance has it the write is sent again or left at that:
// under its key later, when the server has stopped taking it for one that still runs. False: not known yet.
func (p *person) resume() bool {
	if a := p.open; a != nil {
		if !a.find() {
			return false
		}
		p.open = nil
		if p.chance.IntN(2) == 0 {
			if a.key != "" {
				p.repeats = append(p.repeats, a)
			} else {
				p.do(a)
			}
		}
	}
	return p.open == nil
}

// repeat sends publications again that got no answer: each exists once.
func (p *person) repeat() {
	for i := 0; i < len(p.repeats) && p.open == nil; {
		a := p.repeats[i]
		got := p.ask(a.method, a.path, a.body, a.key)
		if got.status == http.StatusConflict && got.undecided() {
			i++ // the server still takes the first one for running
			continue
		}
		p.repeats = slices.Delete(p.repeats, i, i+1)
		if got.undecided() {
			p.open = a // this time it may have happened
		} else {
			a.done(got)
		}
	}
}

// check reads all that has ever been acknowledged to this person, and reports whether it came to its end.
func (p *person) check() bool {
	for _, want := range []map[string]message{p.wrote, p.deleted} {
		for ids := range slices.Chunk(slices.Sorted(maps.Keys(want)), 100) {
			var got page[message]
			a, ok := p.get("/v1/messages?ids="+strings.Join(ids, ","), &got)
			if !ok {
				return false
			}
			seen := map[string]string{}
			for _, m := range got.Items {
				seen[m.ID] = m.Content
			}
			for _, id := range ids {
				words, there := seen[id]
				_, live := p.wrote[id]
				may, must := p.w.ended(id, a.began)
				if there && (must || words != want[id].Content) || live && !there || !live && !may {
					p.w.wrong("message %s of %s: there %t, should be %t: %q", id, p.name, there, live, words)
				}
			}
		}
	}
	return p.checkFollows()
}

func (p *person) checkFollows() bool {
	others := []*person{}
	ids := []string{}
	for _, other := range p.w.people {
		if other != p {
			others, ids = append(others, other), append(ids, other.id)
		}
	}
	var got page[struct {
		ID        string
		Following bool
	}]
	if _, ok := p.get("/v1/accounts/relationships?ids="+strings.Join(ids, ","), &got); !ok {
		return false
	}
	if len(got.Items) != len(others) {
		p.w.wrong("%d relationships of %d", len(got.Items), len(others))
		return false
	}
	for i, r := range got.Items {
		if r.Following != p.follows[others[i]] {
			p.w.wrong("%s follows %s: %t, acknowledged was %t", p.name, others[i].name, r.Following, p.follows[others[i]])
		}
	}
	return true
}

// live uses the API until it is over: of 100 requests about 54 for home, 27 for somebody's page, 9 posts, and the rest
// follows, comments, reposts and deletions.
func (p *person) live(over func() bool) {
	for !over() && p.w.right() {
		if p.resume() {
			p.step()
		}
		if p.w.pace > 0 {
			time.Sleep(rand.N(2 * p.w.pace))
		}
	}
}

func (p *person) step() {
	switch n := p.chance.IntN(112); {
	case n < 60:
		p.readHome()
	case n < 90:
		p.readPage(p.w.people[p.chance.IntN(len(p.w.people))])
	case n < 100:
		p.publish("/v1/messages", "", "a post")
	case n < 103:
		if other := p.w.people[p.chance.IntN(len(p.w.people))]; other != p {
			p.follow(other, !p.follows[other])
		}
	case n < 106:
		m := p.w.any(p.chance)
		p.publish("/v1/messages/"+m.ID+"/comments", m.ID, "a comment")
	case n < 109:
		if m := p.w.any(p.chance); m.Kind != "comment" {
			p.publish("/v1/messages/"+m.ID+"/reposts", m.ID, []string{"", "look"}[p.chance.IntN(2)])
		}
	default:
		// The first one is kept, and none goes that is to be sent again.
		if mine := p.written(); len(mine) > 1 && len(p.repeats) == 0 {
			p.remove(mine[p.chance.IntN(len(mine)-1)])
		}
	}
}

// readHome holds a page of one's home timeline to what one knows: the order, whom one follows, that nothing is there
// which was deleted before, and every word of one's own.
func (p *person) readHome() {
	var got page[message]
	a, ok := p.get("/v1/timelines/home", &got)
	if !ok {
		return
	}
	followed := map[string]bool{p.id: true}
	for other, live := range p.follows {
		followed[other.id] = followed[other.id] || live
	}
	p.checkList("home", got.Items, a.began, func(m message) bool {
		return (followed[m.Author.ID] || a.began.Before(p.unsure)) && m.Kind != "comment"
	})
	var mine, want []message
	for _, m := range got.Items {
		if m.Author.ID == p.id {
			mine = append(mine, m)
		}
	}
	for _, m := range p.written() {
		if a.began.Before(p.untold[m.ID]) && !slices.ContainsFunc(mine, func(seen message) bool { return seen.ID == m.ID }) {
			continue
		}
		if m.Kind != "comment" && (got.Next == "" || len(got.Items) > 0 && newestFirst(m, got.Items[len(got.Items)-1]) <= 0) {
			want = append(want, m)
		}
	}
	if idsOf(mine) != idsOf(want) {
		p.w.wrong("home of %s has of their own %s, should have %s", p.name, idsOf(mine), idsOf(want))
	}
}

// readPage holds the first page of somebody's messages to what one knows of it: everything, where it is one's own.
func (p *person) readPage(of *person) {
	var got page[message]
	a, ok := p.get("/v1/accounts/"+of.id+"/messages", &got)
	if !ok {
		return
	}
	p.checkList("page of "+of.name, got.Items, a.began, func(m message) bool { return m.Author.ID == of.id })
	if of == p {
		if want := p.written(); idsOf(got.Items) != idsOf(want[:min(20, len(want))]) {
			p.w.wrong("own page of %s has %s, should have %s", p.name, idsOf(got.Items), idsOf(want[:min(20, len(want))]))
		}
	}
}

func (p *person) checkList(what string, list []message, began time.Time, allowed func(message) bool) {
	if len(list) == 0 {
		p.w.wrong("%s, read by %s, is empty", what, p.name)
	}
	for i, m := range list {
		if _, gone := p.w.ended(m.ID, began); gone || !allowed(m) {
			p.w.wrong("%s, read by %s, has %s: deleted %t", what, p.name, m.ID, gone)
		}
		if i > 0 && newestFirst(list[i-1], m) >= 0 {
			p.w.wrong("%s, read by %s, is out of order: %s", what, p.name, idsOf(list))
		}
	}
}

// tells does at one server what must decide at another one: posting, a follow and its end, a deletion, a block and its
// end, a log-out. The other server has just been asked about each, so that it would answer from what it remembers.
func (p *person) tells(other *person, here, there string) {
	at := func(server string, who *person, method, path string, body any, want int) answer {
		a := p.w.askAt(server, who.token, method, path, body, "")
		if a.status != want {
			p.w.wrong("%s %s as %s: %d, should be %d: %s", method, path, who.name, a.status, want, a.body)
		}
		return a
	}
	// decides waits until the other server answers with a status: at once, but for the lag.
	decides := func(who *person, path string, want int) {
		since := time.Now()
		for {
			a := p.w.askAt(there, who.token, "GET", path, nil, "")
			if a.status == want {
				return
			}
			if a.began.Sub(since) >= p.w.late() {
				p.w.wrong("GET %s as %s is answered with %d %s after the other server's word, should be %d", path, who.name, a.status, a.began.Sub(since), want)
				return
			}
		}
	}
	publish := func(visibility string) string {
		var m message
		a := at(here, p, "POST", "/v1/messages", map[string]string{"content": "for " + visibility, "visibility": visibility}, 201)
		if err := a.into(&m); err != nil {
			p.w.wrong("%v", err)
		}
		return "/v1/messages/" + m.ID
	}
	session := *other
	var granted struct{ Token string }
	if err := at(here, p, "POST", "/v1/sessions", map[string]string{"name": other.name, "password": "correct horse"}, 201).into(&granted); err != nil {
		p.w.wrong("%v", err)
	}
	session.token = granted.Token
	at(here, other, "PUT", "/v1/accounts/"+p.id+"/follow", nil, 200)
	public, limited := publish("public"), publish("followers")
	for _, path := range []string{public, limited} {
		decides(other, path, 200)
	}
	decides(&session, "/v1/accounts/me", 200)

	at(here, p, "PUT", "/v1/accounts/"+other.id+"/block", nil, 200)
	decides(other, public, 404)
	decides(other, limited, 404)
	at(here, p, "DELETE", "/v1/accounts/"+other.id+"/block", nil, 200)
	decides(other, public, 200)
	decides(other, limited, 404) // the follow has ended
	at(here, p, "DELETE", public, nil, 204)
	decides(other, public, 404)
	decides(p, public, 404)
	at(here, &session, "DELETE", "/v1/sessions/current", nil, 204)
	decides(&session, "/v1/accounts/me", 401)
	decides(&session, public, 401)
}

// together runs something for everybody at once, and waits.
func (w *world) together(people []*person, do func(p *person)) {
	var running sync.WaitGroup
	for _, p := range people {
		running.Go(func() { do(p) })
	}
	running.Wait()
}

// settle waits until all that is owed has been worked off, which is when every list and counter is what the model says,
// at each of the servers.
func (w *world) settle() {
	w.t.Helper()
	began := time.Now()
	servers := *w.servers.Load()
	defer w.use(servers...)
	for at := 0; at < len(servers); {
		w.use(servers[at])
		w.together(w.people, func(p *person) {
			if p.resume() {
				p.repeat()
			}
		})
		off := w.differences()
		for _, p := range w.people {
			if p.open != nil || len(p.repeats) > 0 {
				off = append(off, p.name+" does not know what became of a write")
			}
		}
		switch {
		case !w.right():
			return
		case len(off) == 0:
			at++
			continue
		case time.Since(began) > 40*time.Second:
			w.t.Fatalf("still wrong after %s, %d things:\n%s", time.Since(began), len(off), strings.Join(off[:min(20, len(off))], "\n"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Logf("all effects had arrived %s after the load", time.Since(began).Round(time.Millisecond))
}

// differences compares everything that the API shows with the model.
func (w *world) differences() []string {
	var mu sync.Mutex
	var off []string
	var everything []message
	for _, p := range w.people {
		everything = slices.AppendSeq(everything, maps.Values(p.wrote))
	}
	slices.SortFunc(everything, newestFirst)
	w.together(w.people, func(p *person) {
		found := p.differences(everything)
		mu.Lock()
		defer mu.Unlock()
		off = append(off, found...)
	})
	return off
}

func (p *person) differences(everything []message) (off []string) {
	differ := func(what string, got, want any) {
		if got != want {
			off = append(off, fmt.Sprintf("%s of %s: %v, should be %v", what, p.name, got, want))
		}
	}
	var following, followers []string
	var home []message
	for _, other := range p.w.people {
		if p.follows[other] {
			following = append(following, other.id)
		}
		if other.follows[p] {
			followers = append(followers, other.id)
		}
	}
	for _, m := range everything {
		if (m.Author.ID == p.id || slices.Contains(following, m.Author.ID)) && m.Kind != "comment" {
			home = append(home, m)
		}
	}
	var account struct {
		Messages  int `json:"message_count"`
		Followers int `json:"followers_count"`
		Following int `json:"following_count"`
	}
	if _, ok := p.get("/v1/accounts/me", &account); !ok {
		return []string{"no account of " + p.name}
	}
	differ("message_count", account.Messages, len(p.wrote))
	differ("followers_count", account.Followers, len(followers))
	differ("following_count", account.Following, len(following))
	for name, want := range map[string][]string{"followers": followers, "following": following} {
		list, ok := all[reference](p, "/v1/accounts/me/"+name)
		slices.SortFunc(list, func(x, y reference) int { return cmp.Compare(x.ID, y.ID) })
		slices.Sort(want)
		differ("list of "+name, fmt.Sprint(list, ok), fmt.Sprint(asReferences(want), true))
	}
	list, ok := all[message](p, "/v1/timelines/home")
	differ("home timeline", fmt.Sprint(idsOf(list), ok), fmt.Sprint(idsOf(home), true))
	list, ok = all[message](p, "/v1/accounts/me/messages")
	differ("own page", fmt.Sprint(idsOf(list), ok), fmt.Sprint(idsOf(p.written()), true))
	for _, m := range list {
		off = append(off, p.referring(m, everything)...)
	}
	return off
}

func asReferences(ids []string) []reference {
	list := []reference{}
	for _, id := range ids {
		list = append(list, reference{id})
	}
	return list
}

// referring compares the comments and reposts of a message of one's own with the model.
func (p *person) referring(m message, everything []message) (off []string) {
	var want [2][]message
	ever := 0
	for _, other := range everything {
		if other.refersTo(m.ID) && other.Kind == "comment" {
			want[0] = append(want[0], other)
		} else if other.refersTo(m.ID) {
			want[1] = append(want[1], other)
		}
	}
	for _, other := range p.w.people {
		for _, gone := range other.deleted {
			if gone.Kind == "comment" && gone.refersTo(m.ID) {
				ever++
			}
		}
	}
	ever += len(want[0])
	for i, name := range []string{"comments", "reposts"} {
		if count := []int{m.Comments, m.Reposts}[i]; count != len(want[i]) {
			off = append(off, fmt.Sprintf("%s has %d %s, should have %d", m.ID, count, name, len(want[i])))
		}
		if m.Comments+m.Reposts+ever == 0 {
			continue
		}
		if list, ok := all[message](p, "/v1/messages/"+m.ID+"/"+name); !ok || idsOf(list) != idsOf(want[i]) {
			off = append(off, fmt.Sprintf("list of %s of %s: %s, should be %s", name, m.ID, idsOf(list), idsOf(want[i])))
		}
	}
	if ever == 0 {
		return off
	}
	var pages []message
	count := 1
	for n := 0; n < count; n++ {
		var got page[message]
		if _, ok := p.get(fmt.Sprintf("/v1/messages/%s/comments?page=%d", m.ID, n), &got); !ok {
			return append(off, "no fixed page of "+m.ID)
		}
		pages = append(pages, got.Items...)
		count = got.Count
	}
	slices.SortFunc(pages, newestFirst)
	if count != (ever+19)/20 || idsOf(pages) != idsOf(want[0]) {
		off = append(off, fmt.Sprintf("%d fixed pages of %s: %s, should be %d: %s", count, m.ID, idsOf(pages), (ever+19)/20, idsOf(want[0])))
	}
	return off
}

// plainProgram is the program as it is built for use, without what go test adds, for the processes of a test. It is
// built once.
func plainProgram(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		var err error
		if built.program, err = os.ReadFile(buildProgram(t)); err != nil {
			t.Fatal(err)
		}
	})
	file := filepath.Join(t.TempDir(), "socialctl")
	if err := os.WriteFile(file, built.program, 0o700); err != nil || len(built.program) == 0 {
		t.Fatalf("there is no program: %v", err)
	}
	return file
}

var built struct {
	sync.Once
	program []byte
}

// serving is a `serve` process of the built program.
type serving struct {
	t    *testing.T
	addr string
	cmd  *exec.Cmd
}

// startServing starts the program and waits until it is ready. Nothing that it logs may be an error.
func startServing(t *testing.T, program, config string) *serving {
	t.Helper()
	s := &serving{t: t, addr: freeAddr(t)}
	log, err := os.OpenFile(filepath.Join(filepath.Dir(config), "serve.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.cmd = exec.Command(program, "serve", "--config", config, "--addr", s.addr, "--metrics-addr", "127.0.0.1:0")
	s.cmd.Env, s.cmd.Stderr = plainEnvironment(), log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	awaitReady(t, s.addr)
	return s
}

// kill is kill -9.
func (s *serving) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// stop is a stop that must be clean.
func (s *serving) stop() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("serve ended with %v", err)
	}
}

// plainEnvironment is the test's without what would configure the program.
func plainEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SOCIALCTL_") })
}

// configFile writes a configuration for processes, and has the log of the servers that use it looked at in the end.
// more are further lines of YAML.
func configFile(t *testing.T, cfg configs.Config, more ...string) string {
	t.Helper()
	dir := t.TempDir()
	lines := []string{"data: " + cfg.Data, "limits: {enabled: false}", "timeline: {backfill: 10000}",
		fmt.Sprintf("embedded: {buckets: %d}", cfg.Embedded.Buckets)}
	if !cfg.IsEmbedded() {
		lines = append(lines, "databases:")
		for name, db := range cfg.Databases {
			lines = append(lines, fmt.Sprintf("  %s: {dsn: %q, max_conns: %d}", name, db.DSN, db.MaxConns))
		}
		lines = append(lines, fmt.Sprintf("meta: {database: %s, schema: %s}", cfg.Meta.Database, cfg.Meta.Schema),
			fmt.Sprintf("redis: {addrs: [%q]}", cfg.Redis.Addrs[0]))
	}
	file := filepath.Join(dir, "socialctl.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(append(lines, more...), "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkLog(t, filepath.Join(dir, "serve.log")) })
	return file
}

// checkLog fails the test where a server logged an error, and shows the end of the log where the test has failed.
func checkLog(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			t.Errorf("logged: %s", line)
			break
		}
	}
	if t.Failed() {
		t.Logf("the end of the servers' log:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}
