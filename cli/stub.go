package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
)

type clusterMember struct{ Name, Address string }

type memberConfig struct {
	Name, DataDir                      string
	Listen, ListenPeer                 string
	Advertise, AdvertisePeer           string
	InitialCluster                     []clusterMember
	InitialClusterToken                string
	CertsDir, Home                     string
	HeartbeatInterval, ElectionTimeout time.Duration
	ValueBytes, SegmentBytes           int64
	Logger                             *slog.Logger
	Version                            string
}

type runningMember interface {
	Done() <-chan struct{}
	Err() error
	Stop(context.Context) error
}

func startMember(context.Context, memberConfig) (runningMember, error) {
	return nil, errors.New("no member in this build")
}

func serveError(err error) error { return err }

func dumpLog(string, io.Writer, bool) error      { return errors.New("not in this build") }
func dumpSnapshot(string, io.Writer, bool) error { return errors.New("not in this build") }
