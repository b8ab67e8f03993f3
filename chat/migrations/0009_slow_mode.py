import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0008_age_of_messages")]
    operations = [
        migrations.AddField(
            model_name="conversation",
            name="slow_mode_seconds",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                validators=[django.core.validators.MaxValueValidator(21600)],
                verbose_name="slow mode (seconds)",
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="last_sent_at",
            field=models.DateTimeField(null=True),
        ),
    ]
