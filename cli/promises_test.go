package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promises says which tests and stories show what is promised of identity and membership. A test is DIR:NAME; a line of a story,
// or the name of a mutant, is FILE: and words that stand there.
var promises = []struct {
	what string
	by   []string
}{
	// What a user can do.
	{"a cluster of one grows, and shrinks to members that were not there in the beginning", []string{"cli:TestHostsGrow", "cli/testdata/script/member.txtar:A cluster of one grows to three"}},
	{"one that is added is a learner, and a voter automatically when it has caught up", []string{"actor:TestLevelLearnerIsPromoted", "cli:TestMembers"}},
	{"the members are listed, in every format", []string{"cli/cluster:TestMemberListOutput", "cli:TestMemberListWithoutQuorum"}},
	{"members are removed, promoted and updated, by name and id", []string{"cli:TestMembers"}},
	{"a member is replaced, also when the command is interrupted or killed", []string{"actor:TestReplacementWithoutItsClient", "actor:TestConnectedMemberIsNotReplaced", "cli:TestMemberReplace", "cli:TestMemberReplaceInPlace", "cli/testdata/script/member.txtar:The command is killed after its first step", "index/testdata/scripts/instead.txt:The new member takes over the address at once"}},
	{"leadership is moved", []string{"cli:TestMembers", "net/client:TestMoveLeaderAsksTheLeader"}},
	{"one member's state becomes a new cluster, with another id, when its user agrees", []string{"cli:TestRecoverAsks", "node:TestRecoverTakesAll", "node:TestRecoverRefuses", "node:TestRecoverLosesPower", "node:TestRecoveredMemberServes"}},
	{"flags of a beginning are ignored where there is one, which is said once", []string{"node:TestFlagsThatTheFolderKnowsBetter"}},
	{"one that comes back at another address is found, also when all do", []string{"node:TestMembersMoveInTurn", "node:TestAddressesThatAreTried", "node:TestMoveAwayFromALeaderThatWasAdded"}},

	// Identity.
	{"founders find the same ids, which hang on no address", []string{"node:TestFoundersAgreeOnIds"}},
	{"who founds alone founds another cluster each time", []string{"node:TestLoneFounderIsUsedOnce"}},
	{"ids are used once, also behind a snapshot", []string{"index/testdata/scripts/members.txt:An id that was removed never comes back", "index:TestSnapshotHasTheMembers"}},
	{"handshakes compare ids, and a name under another id is another member", []string{"net/peer:TestOtherClusterAndOtherIDs", "net/peer:TestOtherIDUnderTheName", "node:TestStrangers"}},

	// One record set.
	{"raft's configuration is that of the records, in the same apply", []string{"actor:TestConfigurationIsThatOfTheRecords", "actor:TestConfigurationComesWithTheRecords", "actor:TestConfigurationThatDiffers"}},
	{"a voter in another one's place is a joint configuration, which ends", []string{"actor:TestExchangeOfVoters", "actor:TestExchangeEndsInAQuietCluster"}},
	{"links come and go at run time, by one path", []string{"net/peer:TestPeersChangeUnderTraffic", "net/peer:TestRemovedPeer"}},

	// Learners.
	{"what a new member gets is streamed, and continued", []string{"node/testdata/stories/snapshot_resumes.txt:what has arrived is not sent", "snapshot:TestReceiveInterrupted", "actor:TestSnapshotOfBeforeTheAddition"}},
	{"its catching up holds up nobody", []string{"cli:TestHostsJoinLarge", "node:TestColdReadsHoldUpNothing"}},
	{"learners are counted nowhere", []string{"actor:TestLearnersDoNotCount", "actor:TestLearnersDoNotEndARemovedMember"}},
	{"what would cost the quorum is refused, with who is missing", []string{"actor:TestUnwiseChangesAreRefused", "actor:TestJudge"}},

	// Removal.
	{"a removed member learns it, ends, and its folder starts no more", []string{"actor:TestRemovedMemberEnds", "node:TestFoldersThatDoNotStart", "cli:TestHostsRefused", "cli/testdata/script/member.txtar:it is told, and does not start again"}},
	{"its certificate does not bring its id back", []string{"node:TestStrangers", "actor:TestRemovedMemberGetsNoVote"}},
	{"a leader that removes itself hands over first", []string{"actor:TestUnwiseChangesAreRefused"}},

	// Joining.
	{"who was not added is told the command to run", []string{"node:TestWhoMayJoin", "cli/testdata/script/member.txtar:Who was not added is told what to run"}},
	{"a join never founds, and an empty folder elsewhere than on loopback wants to be told", []string{"node:TestBeginningOfAFolder"}},
	{"who comes on an empty disk before it was replaced is told what to run, and waits for that", []string{"cli:TestProcessLostDisk", "node:TestWhoMayJoinInPlace", "net/peer:TestJoinWaitsForAReplacement"}},
	{"joining has a protocol of its own", []string{"net/peer:TestJoin", "net/peer:TestHostileJoin"}},

	// AMNESIA and CORRUPT.
	{"both name the command that replaces the member", []string{"node/testdata/stories/amnesia.txt:qkv member replace n3", "node/testdata/stories/states_differ.txt:qkv member replace n2"}},
	{"a replacement ends the suspension", []string{"cli:TestHostsRefused"}},

	// The client.
	{"it follows the members' list, or keeps to what it was given", []string{"net/client:TestFollowsTheMembers", "net/client:TestOutlivesItsEndpoints", "net/client:TestNoDiscovery"}},

	// Bad input.
	{"two changes at once", []string{"actor:TestUnwiseChangesAreRefused", "actor:TestNextChangeWaitsForRaft"}},
	{"one that is added and never comes, and one that cannot keep up", []string{"actor:TestUnwiseChangesAreRefused", "cli/testdata/script/member.txtar:As long as it never comes"}},
	{"a name twice, an address twice", []string{"cli:TestMembers", "index/testdata/scripts/members.txt:address exists"}},
	{"the last voter's removal", []string{"index/testdata/scripts/members.txt:is the last voter", "cli/testdata/script/member.txtar:the last voter"}},
	{"promotion of one that is behind", []string{"actor:TestUnwiseChangesAreRefused"}},
	{"a join with another cluster's certificate", []string{"net/peer:TestJoinByAnotherCA", "net/peer:TestJoinAsAnother"}},
	{"a folder that runs twice", []string{"cli:TestHostsRefused", "net/peer:TestRival", "cli:TestProcessAmnesia", "node/testdata/stories/amnesia.txt:two processes claim"}},
	{"a removed member's backup", []string{"cli:TestHostsRefused"}},
	{"flags that contradict the folder", []string{"node:TestFlagsThatTheFolderKnowsBetter", "node:TestFoldersThatDoNotStart"}},

	// How it is shown.
	{"all of it under faults, with counts of each kind", []string{"node:TestSimulation", "node:TestWhenTheMembershipIsAtRest"}},
	{"a leader is killed in each step of a replacement", []string{"cli:TestHostsLeaderKilled"}},
	{"the documents' lines are run word by word", []string{"cli:TestHostsDocs"}},
	{"the bugs are found: a configuration applied at another index", []string{".ci/mutants/bugs_actor.go:apply a configuration when its entry is committed", ".ci/mutants/bugs_actor.go:apply a configuration behind its entry"}},
	{"a learner counted in the quorum", []string{"actor:TestLearnersDoNotCount"}},
	{"promotion before level", []string{"actor:TestLevelLearnerIsPromoted"}},
	{"id used again", []string{".ci/mutants/bugs_index.go:an id that was removed is used again"}},
	{"removed member still voted for", []string{".ci/mutants/bugs_actor.go:vote for a removed member"}},
	{"joint change skipped", []string{".ci/mutants/bugs_actor.go:skip the joint configuration"}},
	{"transport keeps a removed peer", []string{"net/peer:TestRemovedPeer"}},
	{"snapshot without the record set", []string{".ci/mutants/bugs_index.go:forget the members in a snapshot", ".ci/mutants/bugs_index.go:forget in a snapshot who was removed"}},
	{"configuration of a snapshot that is not its records'", []string{".ci/mutants/bugs_node.go:take a snapshot whose configuration is not its records'"}},
}

// What shows a promise is there.
func TestPromisesAreShown(t *testing.T) {
	named := map[string]map[string]bool{} // tests by folder
	for _, one := range promises {
		if len(one.by) == 0 {
			t.Errorf("%s: nothing shows it", one.what)
		}
		for _, by := range one.by {
			at, what, _ := strings.Cut(by, ":")
			if filepath.Ext(at) != "" && !strings.HasPrefix(what, "Test") {
				if !strings.Contains(string(readFile(t, filepath.Join("..", at))), what) {
					t.Errorf("%s: %s does not say %q", one.what, at, what)
				}
				continue
			}
			if named[at] == nil {
				named[at] = testsIn(t, filepath.Join("..", at))
			}
			if !named[at][what] {
				t.Errorf("%s: there is no %s in %s", one.what, what, at)
			}
		}
	}
}

// testsIn returns the names of the tests in a folder.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	must(t, err)
	names := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		must(t, err)
		for _, found := range testFunction.FindAllSubmatch(b, -1) {
			names[string(found[1])] = true
		}
	}
	return names
}

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(t `)
