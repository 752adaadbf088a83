package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"qkv/internal/testlong"
)

// lyingStore is an S3 server that answers in another way than a store does, once it has a lie.
type lyingStore struct {
	sound http.Handler
	lie   atomic.Pointer[func(w http.ResponseWriter, r *http.Request, sound http.Handler)]
	asked atomic.Int64
}

func (s *lyingStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	if lie := s.lie.Load(); lie != nil {
		(*lie)(w, r, s.sound)
		return
	}
	s.sound.ServeHTTP(w, r)
}

// lists says whether a request asks for a list.
func lists(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Query().Has("list-type") }

// storesLies are ways in which a store answers. Package store has more of them, below the commands.
var storesLies = map[string]func(w http.ResponseWriter, r *http.Request, sound http.Handler){
	"lists never end": func(w http.ResponseWriter, r *http.Request, sound http.Handler) {
		if !lists(r) {
			sound.ServeHTTP(w, r)
			return
		}
		page, _ := strconv.Atoi(r.URL.Query().Get("continuation-token"))
		fmt.Fprintf(w, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", page+1)
		for i := range 1000 {
			fmt.Fprintf(w, "<Contents><Key>%s%0106d</Key><LastModified>2026-11-30T00:00:00Z</LastModified><Size>9</Size></Contents>", r.URL.Query().Get("prefix"), 1000*page+i)
		}
		_, _ = io.WriteString(w, "</ListBucketResult>")
	},
	"answers never end": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		more, err := strings.Repeat("<Contents/>", 6000), error(nil)
		_, _ = io.WriteString(w, "<ListBucketResult>")
		for sent := 0; err == nil && sent < 1<<30; sent += len(more) {
			_, err = io.WriteString(w, more)
		}
	},
	"answers are halves": func(w http.ResponseWriter, r *http.Request, sound http.Handler) {
		whole := httptest.NewRecorder()
		sound.ServeHTTP(whole, r)
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		if whole.Body.Len() > 0 {
			panic(http.ErrAbortHandler)
		}
	},
	"lists forget": func(w http.ResponseWriter, r *http.Request, sound http.Handler) {
		if !lists(r) {
			sound.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
	},
	"it is no store": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { http.Error(w, "404 page not found", 404) },
	"all is refused": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(403)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
	},
}

// moreMemory is how much memory a store may cost a process.
const moreMemory = 64 << 20 * slowdown

// TestProcessLyingStore: whatever a store answers, a command ends within 30 s and a member goes on, both in little memory and with a reason.
func TestProcessLyingStore(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	memory := s3mem.New()
	must(t, memory.CreateBucket("bucket"))
	store := &lyingStore{sound: gofakes3.New(memory).Server()}
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	s3 := []string{"AWS_EC2_METADATA_DISABLED=true", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_S3=" + server.URL}
	const place = "s3://bucket/p"
	c := newProcesses(t, 1, "--backup", place, "--backup-every", "1s")
	c.members[0].environment = s3
	c.members[0].start()
	c.level()
	c.qkv("put", "key", "value").exits(t, 0)
	environment := append(c.environment(), s3...)
	verify := func() answered { return runQkv(t, environment, "backup", "verify", place) }
	for deadline := time.Now().Add(processWait); verify().code != 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no backup: %+v; the member's last lines:\n%s", verify(), c.members[0].tail(20))
		}
	}
	at := freeAddresses(t, 2)
	sound, soundMember := verify().memory, peakOf(c.members[0].cmd.Process.Pid)
	for what, lie := range storesLies {
		store.lie.Store(&lie)
		folder := filepath.Join(t.TempDir(), "data")
		for _, line := range [][]string{
			{"backup", "list", place},
			{"backup", "verify", place},
			{"restore", place, "--data-dir", folder},
		} {
			before := store.asked.Load()
			a := runQkv(t, environment, line...)
			if what == "lists forget" && line[1] == "list" && a.code == 0 { // it is as if nothing were there
				continue
			}
			if a.code == 0 || a.code > 5 || len(strings.TrimSpace(a.stderr)) < 20 || len(a.stderr) > 4000 {
				t.Errorf("%s: %s: exit code %d, %d bytes of words: %.500s", what, line[:2], a.code, len(a.stderr), a.stderr)
			}
			if a.took > 30*time.Second*slowdown || a.memory > sound+moreMemory {
				t.Errorf("%s: %s: %v, %d MiB, %d MiB with a sound store", what, line[:2], a.took, a.memory>>20, sound>>20)
			}
			t.Logf("%s: %s: exit code %d after %v, %d MiB, %d requests: %.200s", what, line[:2], a.code, a.took, a.memory>>20, store.asked.Load()-before, a.stderr)
		}
		n9 := &memberProcess{
			t: t, name: "n9", listen: at[0], listenPeer: at[1], dataDir: folder + "9", home: c.home, log: folder + "9.log", environment: s3,
			arguments: []string{"--join", c.members[0].listenPeer, "--seed", place},
		}
		t.Cleanup(n9.cleanUp)
		c.qkv("member", "add", "n9", "--peer", at[1]).exits(t, 0)
		n9.start()
		n9.says("not all parts of the state could be taken from the backup")
		n9.says("ready to serve")
		if held := peakOf(n9.cmd.Process.Pid); held > soundMember+moreMemory {
			t.Errorf("%s: a member that begins with it held %d MiB, %d MiB with a sound store", what, held>>20, soundMember>>20)
		}
		c.qkv("member", "remove", "n9").exits(t, 0)
		n9.exit()
		if _, err := os.Stat(folder); err == nil {
			t.Errorf("%s: a restore that failed left %s", what, folder)
		}
		c.qkv("put", "key", what).exits(t, 0)
		t.Logf("%s: the member held at most %d MiB", what, peakOf(c.members[0].cmd.Process.Pid)>>20)
	}
	// A member collects its garbage when it has three times as much as is in use: package store bounds what is.
	if grown := peakOf(c.members[0].cmd.Process.Pid) - soundMember; grown > 2*moreMemory {
		t.Errorf("the member took %d MiB more, %d MiB with a sound store", grown>>20, soundMember>>20)
	}
	c.members[0].says("backup failed", "tried again")
}
