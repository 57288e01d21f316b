package copies

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// miniServer is a miniredis that says of itself what a real server does.
type miniServer struct {
	t       testing.TB
	server  *miniredis.Miniredis
	saved   map[string]string
	mu      sync.Mutex
	refused []string
}

func startMini(t testing.TB) *miniServer {
	s := &miniServer{t: t}
	s.start()
	t.Cleanup(func() { s.server.Close() })
	return s
}

func (s *miniServer) start() {
	run := rand.Text()
	s.server = miniredis.NewMiniRedis()
	s.fill(s.saved)
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.server.Server().SetPreHook(func(c *server.Peer, command string, args ...string) bool {
		s.mu.Lock()
		refused := slices.Contains(s.refused, strings.ToLower(command))
		s.mu.Unlock()
		switch {
		case refused:
			c.WriteError("NOPERM the test refuses it")
		case command == "INFO" && len(args) == 1 && args[0] == "server":
			c.WriteBulk(fmt.Sprintf("# Server\r\nrun_id:%s\r\n", run))
		case command == "INFO" && len(args) == 1 && args[0] == "replication":
			c.WriteBulk(fmt.Sprintf("# Replication\r\nrole:master\r\nmaster_replid:%s\r\n", run))
		default:
			return false
		}
		return true
	})
}

func (s *miniServer) address() string { return s.server.Addr() }
func (s *miniServer) flush()          { s.server.FlushAll() }
func (s *miniServer) remember()       { s.saved = s.contents() }

func (s *miniServer) restart() {
	s.server.Close()
	s.start()
}

func (s *miniServer) refuse(commands ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = commands
}

func (s *miniServer) contents() map[string]string {
	all := map[string]string{}
	for _, name := range s.server.Keys() {
		if value, err := s.server.Get(name); err == nil {
			all[name] = value
		}
	}
	return all
}

func (s *miniServer) fill(contents map[string]string) {
	s.server.FlushAll()
	for name, value := range contents {
		if err := s.server.Set(name, value); err != nil {
			s.t.Fatal(err)
		}
	}
}
