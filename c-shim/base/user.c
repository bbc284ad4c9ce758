/*
 * base/user.c
 *	  Lets another user act for a while.
 */
#include "base/aside.h"

#include "miscadmin.h"

/* From now on this user acts, until the caller passes the result to aside_act_again(). An abort ends it, too. */
AsideUser
aside_act_as(Oid user)
{
	AsideUser	before;

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(user, before.context | SECURITY_LOCAL_USERID_CHANGE);
	return before;
}

void
aside_act_again(AsideUser before)
{
	SetUserIdAndSecContext(before.user, before.context);
}
