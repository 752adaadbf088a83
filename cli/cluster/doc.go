// Package cluster has the commands about members, users and certificates: status, doctor, member, user, role, auth,
// whoami and cert. status and doctor ask every member alone (ask.go) and print what all of them say (status_output.go,
// facts.go); the others ask one member, whichever answers.
package cluster

import (
	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/checks"
)

// Commands returns the commands of this package.
func Commands() []*cli.Command {
	return form.Commands(form.Calls{
		"status": status, "doctor": doctor,
		"member list": form.Asking(memberList), "member add": memberAdd, "member remove": memberRemove,
		"member promote": memberPromote, "member update": memberUpdate, "member replace": form.Interruptible(memberReplace),
		"member readmit": readmit, "member lead": form.Changing(moveLeader),
		"user add": userAdd, "user list": form.Asking(userList), "user password": userPassword,
		"user delete": form.Asking(userDelete), "user grant": userGrant, "user revoke": userRevoke,
		"role add": roleAdd, "role grant": roleGrant, "role revoke": roleRevoke, "role list": form.Asking(roleList),
		"role delete": form.Asking(roleDelete),
		"auth enable": form.Asking(authEnable), "auth disable": form.Asking(authDisable), "auth check": authCheck,
		"whoami":  form.Asking(whoami),
		"cert ca": certCA, "cert member": certMember, "cert client": certClient, "cert secret": form.MakeSecret,
		"cert renew": renewCerts, "cert show": showCerts,
	}, "{alarms}", checks.AlarmsHelp("alarm"), "{notices}", checks.AlarmsHelp("notice"))
}
