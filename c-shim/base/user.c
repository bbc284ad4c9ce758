/*
 * base/user.c
 *	  Acting as another user for a while.
 */
#include "base/aside.h"

#include "miscadmin.h"

/* From now on user acts, until aside_act_again() is told what this returns; an abort ends it too. */
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
