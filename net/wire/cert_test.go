package wire

import (
	"crypto/rand"
	"testing"
	"time"
)

func TestCreateAndLoad(t *testing.T) {
	dir := t.TempDir()
	m := Maker{Now: time.Now, Rand: rand.Reader}
	if _, err := m.CreateCA(dir, "prod"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.CreateMember(dir, "n1", []string{"10.0.0.1", "n1.example.org"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.CreateClient(dir, "alice@example.org"); err != nil {
		t.Fatal(err)
	}
	c, err := LoadMember(dir, "n1", time.Now)
	if err != nil || c.Identity.String() != "qkv://prod/member/n1" {
		t.Fatalf("%v %v", c, err)
	}
	c, err = LoadClient(dir, "", time.Now)
	if err != nil || c.Identity.String() != "qkv://prod/client/alice@example.org" {
		t.Fatalf("%v %v", c, err)
	}
	text, err := Show(dir+"/member-n1.crt", time.Now())
	t.Log(text, err)
}
